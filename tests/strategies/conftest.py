"""Commands in a folder of their own."""
from tests.test_commands import here, said

__all__ = ["here", "said"]
