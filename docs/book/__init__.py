"""What makes the textbook: pages of operations and lectures, figures, the part of Sphinx."""
