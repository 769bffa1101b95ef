"""The pages of the textbook, and in `book` what makes them."""
