"""Real frameworks as targets: thin files that call each framework's own operations."""
