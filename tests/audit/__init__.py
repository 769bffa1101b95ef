"""Is the bound sound and sharp? Honest ways to compute, and a search for the worst of them."""
