"""The oracle: what is right, how far from it one may be, and what a deviation comes from."""
