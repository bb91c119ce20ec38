"""The engine around the compiled path: everything that is not per tick."""
