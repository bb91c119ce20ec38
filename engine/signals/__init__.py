"""Signals: the models the compiled scorer loads."""
