"""What writes golden vectors and parts of pages, and what looks through the built book."""
