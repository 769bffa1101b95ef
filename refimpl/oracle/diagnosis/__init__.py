"""What a deviation comes from."""
