"""The command line, a module for each kind of thing one does: run, operate, look, train."""
