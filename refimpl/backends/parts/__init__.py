"""What the larger backends are put together from."""
