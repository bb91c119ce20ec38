"""Market: instruments, sessions and profiles: what the compiled market stage is told before the first tick."""
