"""Candidate sources, one a file; see `_ext.signals.source`."""
