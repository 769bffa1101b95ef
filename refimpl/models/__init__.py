"""Models: compositions of the operations, as pure functions."""
