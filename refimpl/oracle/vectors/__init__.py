"""Case files: golden and foreign."""
