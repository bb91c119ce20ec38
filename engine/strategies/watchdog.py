"""Ends a strategy's call that takes too long: 50 ms of processor time, or a second by the wall."""
import faulthandler
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _ext.signals.strategies import StrategyTimeout
from engine.strategies.stops import mark_in

if TYPE_CHECKING:
    from _ext.signals.strategies import StrategyHost

BUSY_S, WALL_S, HUNG_S, SAY_S = 0.05, 1.0, 30.0, 1.0
"""Of one call. A timer looks so often, and a call that was under way when it last looked has ended its time; HUNG_S is for what no
timer can end, and at least SAY_S lie between two signs of life."""
CLOCKS = ((signal.SIGVTALRM, signal.ITIMER_VIRTUAL, BUSY_S), (signal.SIGALRM, signal.ITIMER_REAL, WALL_S))


@contextmanager
def watched(host: "StrategyHost | None") -> Iterator[None]:
    """Within the block calls of `host` end in time. Outside the main thread, and without strategies, nothing is watched."""
    if host is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = begin(host)
    try:
        yield
    finally:
        for number, timer, _ in CLOCKS:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """The block ends in time, or raises StrategyTimeout. Outside the main thread nothing is limited."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise StrategyTimeout(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def ended_if_hung(host: "StrategyHost | None", folder: Path | None) -> Iterator[Callable[[], None]]:
    """A call into C that does not come back cannot be ended from here: unless the block says now and then that it is alive, the
    process ends, and says in which line of the strategy it was. Which call that was stays in the run's `folder`."""
    if host is not None and folder is not None:
        host.mark_calls(mark_in(folder))
    said = 0.0

    def alive() -> None:
        nonlocal said
        if host is not None and time.monotonic() - said > SAY_S:
            said = time.monotonic()
            with suppress(OSError, ValueError, AttributeError):        # no standard error to write to
                faulthandler.dump_traceback_later(HUNG_S, exit=True)

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()


def begin(host: "StrategyHost") -> dict[int, Any]:
    """Watches for the rest of the process; what was done at the signals before."""
    seen: dict[int, tuple[Any, int]] = {}

    def look(number: int, frame: Any) -> None:
        source = host.calling
        now = (source, source.calls) if source is not None else (None, 0)
        if source is not None and seen.get(number) == now:
            raise StrategyTimeout(f"it took longer than {1000 * BUSY_S:g} ms of processor time, or {WALL_S:g} s")
        seen[number] = now

    before: dict[int, Any] = {number: signal.signal(number, look) for number, _, _ in CLOCKS}
    for _, timer, seconds in CLOCKS:
        signal.setitimer(timer, seconds, seconds)
    return before
