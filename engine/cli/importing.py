"""Imports of a command: what they make stays until the process ends."""
import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Within the block the collector does not run, and after it it never looks at what is there by then: it would go through every
    library a dozen times and find nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
