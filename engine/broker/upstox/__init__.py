"""Upstox: its REST interface, its login, its order messages."""
