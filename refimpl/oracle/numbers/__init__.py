"""The readings of a text: precisions, errors and balls."""
