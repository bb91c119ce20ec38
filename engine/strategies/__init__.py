"""Strategies in Python: what one is made of (`base`), how its file is loaded and kept (`loading`), and those that come with the
engine (`shipped`)."""
