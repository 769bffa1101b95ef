"""Implementations with mistakes whose cause is known, to judge the diagnosis by."""
