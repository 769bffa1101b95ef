"""What is right, and how far from it a result may be."""
