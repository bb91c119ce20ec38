"""Strategies that come with the engine: examples that run, none that earns."""
