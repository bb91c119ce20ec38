"""The journal's time, for what is not a frame."""
import time


class Clock:
    """`now` is the wall clock, or the sim's as it was last told. A sim may be slower than it was asked to be: while it says nothing
    time passes no faster than the wall's. `now` never goes back."""

    def __init__(self, is_sim: bool, speed: float):
        self.is_sim, self.speed = is_sim, speed
        self.anchor = (time.monotonic_ns(), 0)
        self.latest = 0

    def on_time(self, sim_ns: int, is_standing: bool = False) -> None:
        """`is_standing`: that it is still as late as it was is news, too."""
        if self.is_sim and (sim_ns > self.anchor[1] or (is_standing and sim_ns == self.anchor[1])):
            self.anchor = (time.monotonic_ns(), sim_ns)

    def now(self) -> int:
        if not self.is_sim:
            return time.time_ns()
        at, sim = self.anchor
        if sim:
            self.latest = max(self.latest, sim + int((time.monotonic_ns() - at) * min(self.speed, 1.0)))
        return self.latest
