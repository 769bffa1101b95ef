"""Inputs: drawn, and stored because they failed."""
