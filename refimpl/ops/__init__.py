"""The operations, a folder a chapter: the page, its compiled twin, and what is known about it."""
