"""Commands in a folder of their own: what each prints, says and ends with."""
from tests.test_commands import here, said

__all__ = ["here", "said"]
