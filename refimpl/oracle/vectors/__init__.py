"""Case files: golden vectors, and inputs stored because a target failed on them."""
