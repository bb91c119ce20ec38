"""The terminal view of a run, drawn from the status block and the journal's tail; plain lines without a terminal."""
import contextlib
import time
from collections import deque
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from _ext.core.records import OP_RUN, OPERATOR_STATES, TRADING_STATES
from engine.trail.checked import damage_words
from engine.trail.resources import in_words
from engine.trail.rundir import RunDir
from engine.trail.signs import without_filter
from engine.watch.events import Event, EventFormatter, clock

EXIT_STATES = ("flat", "entering", "protecting", "protected", "closing", "UNPROTECTED")
ROWS = 9


def speeds(asked: float, reached: float) -> str:
    """`x10`, or `x50 asked, x31 reached` where it has begun and is slower by more than a twentieth."""
    return f"x{asked:g}" if not reached or reached >= 0.95 * asked else f"x{asked:g} asked, x{reached:.2g} reached"


class View:
    """Collects what there is to show; `update` once a tick of the screen."""

    def __init__(self, run: RunDir, title: str):
        self.run, self.title = run, title
        self.formatter, self.reader = EventFormatter(), run.reader()
        self.signals: deque[Event] = deque(maxlen=ROWS)
        self.trading: deque[Event] = deque(maxlen=ROWS)
        self.fresh: list[Event] = []
        self.status: Any = None
        self.store: dict[str, Any] = {}
        self.market: dict[str, Any] = {}
        self.troubles: list[str] = []
        self.rate = 0.0
        self._last = (time.monotonic(), 0)

    def update(self, status: Any, store: dict[str, Any], troubles: list[str], market: dict[str, Any] | None = None) -> None:
        """Takes what the processes say, `troubles` in the words of signs.troubles, `market` in the sim's, and what was journaled
        since."""
        self.status, self.store, self.troubles, self.market = status, store, list(troubles), market or {}
        self.fresh = []
        try:
            self._follow()
        except (OSError, MemoryError) as error:
            self.troubles.append(f"the view cannot read the journal: {in_words(error)}")
        if self.reader.problem and damage_words(self.reader) not in self.troubles:
            self.troubles.append(damage_words(self.reader))
        if status is not None:
            at, seen = self._last
            passed = time.monotonic() - at
            if passed >= 1:
                self.rate = (int(status["updates"]) - seen) / passed
                self._last = (time.monotonic(), int(status["updates"]))

    def _follow(self) -> None:
        for _ in range(200_000):
            record = self.reader.read()
            if record is None:
                break
            event = self.formatter.event(*record)
            if event is not None:
                self.fresh.append(event)
                (self.signals if event.log == "signals" else self.trading).append(event)

    def pace(self) -> str:
        """The speed of time; where the machine is too slow for it, both."""
        return speeds(self.market["asked"], self.market["reached"]) if self.market else f"x{self.status['speed']:g}"

    def render(self) -> Group:
        s = self.status
        head = Table.grid(expand=True, padding=(0, 2))
        for _ in range(4):
            head.add_column()
        if s is None or not s["ready"]:
            return Group(Panel(Text("starting ..."), title=self.title), *self._wrong())
        alive = time.time_ns() - int(s["heartbeat"]) < 2_000_000_000
        state = TRADING_STATES[s["trading"]] if s["operator"] == OP_RUN else OPERATOR_STATES[s["operator"]]
        money = {n: int(s[n]) / 100 for n in ("equity", "realised", "charges", "open", "exposure")}
        net = money["realised"] + money["open"] - money["charges"]
        head.add_row(f"[b]{clock(int(s['now']))}[/b] market time, {self.pace()}",
                     f"[{'green' if state == 'RUNNING' else 'yellow'}]{state}[/]"
                     + ("" if alive else " [red]no heartbeat[/red]"),
                     f"feed {'up' if s['feed_up'] else '[red]down[/red]'}, {s['reconnects']} reconnects",
                     f"{s['instruments']} instruments")
        head.add_row(f"{self.rate:,.0f} updates/s, {s['updates']:,} in all",
                     f"tick path p50 {s['p50'] / 1000:.1f} us, p99 {s['p99'] / 1000:.1f}, p99.9 {s['p999'] / 1000:.1f}",
                     f"order round trip p50 {s['order_p50'] / 1e6:.1f} ms, max {s['order_max'] / 1e6:.1f}",
                     f"{s['gaps']} gaps, {s['late']} late, {s['repeats']:,} repeats, {s['rejected']} rejected")
        off = ", [red]filter OFF[/red]" if without_filter(s) else ""
        head.add_row(f"{s['signals']} signals of {s['candidates']} candidates{off}",
                     f"{s['orders']} orders, {s['requests']} requests",
                     f"net [{'green' if net >= 0 else 'red'}]Rs {net:+,.2f}[/] (open {money['open']:+,.2f}, charges "
                     f"{money['charges']:,.2f})",
                     f"ClickHouse {self.store.get('stored', 0):,} ticks" + (
                         f" [red]{self.store['trouble'][:40]}[/red]" if self.store.get("trouble") else ""))
        page = self.run.page_address()
        parts: list[Any] = [Panel(head, title=self.title, title_align="left", subtitle=page and f"page: {page}",
                                  subtitle_align="left"), *self._wrong()]
        table = Table(expand=True, title="positions", title_justify="left", box=None, pad_edge=False)
        for name in ("name", "state", "quantity", "average", "stop", "target"):
            table.add_column(name, justify="left" if name in ("name", "state") else "right")
        for inst, p in self.formatter.state.positions.items():
            if p["state"]:
                table.add_row(self.formatter.symbol(inst), EXIT_STATES[p["state"]], f"{p['quantity']:+d}",
                              f"{p['average'] / 100:.2f}", f"{p['stop'] / 100:.2f}", f"{p['target'] / 100:.2f}")
        parts.append(table if table.row_count else Text("no positions", style="dim"))
        for title, events in (("candidates", self.signals), ("orders", self.trading)):
            lines = Text(overflow="ellipsis", no_wrap=True)
            for event in events:
                style = "bold green" if "PASSED" in event.text or "FILL" in event.text else "dim" if "watched" in event.text else ""
                lines.append(f"{clock(event.now)} {event.text}\n", style=style)
            parts.append(Panel(lines, title=title, title_align="left", height=ROWS + 2))
        return Group(*parts)

    def _wrong(self) -> list[Panel]:
        """What is wrong, where nobody can miss it."""
        return [Panel(Text("\n".join(self.troubles)), title="TROUBLE", border_style="red", style="red")] if self.troubles else []


class Screen:
    """Draws a View: in place on a terminal, as lines elsewhere."""

    def __init__(self, view: View, quiet: bool = False):
        self.view, self.quiet = view, quiet
        self.console = Console()
        self.live = Live(console=self.console, auto_refresh=False, screen=False) if self.console.is_terminal and not quiet else None
        self._told = 0.0
        self._wrong: set[str] = set()
        self._has_page = False
        if self.live:
            self.live.start()

    def draw(self) -> None:
        if not self.quiet:
            try:
                self._draw()
            except OSError:                                # nobody reads any more, as behind `| head`
                self.drop()

    def _draw(self) -> None:
        if self.live:
            self.live.update(self.view.render(), refresh=True)
            return
        if not self._has_page and self.view.run.page_address():
            self._has_page = True
            print(f"the page of this run: its address stands in {self.view.run.address}", flush=True)
        for event in self.view.fresh:
            if event.log != "signals" or "watched" not in event.text:
                print(f"{clock(event.now)} {event.text}", flush=True)
        for text in self.view.troubles:
            if text not in self._wrong:
                print(f"TROUBLE: {text}", flush=True)
        self._wrong = set(self.view.troubles)
        s = self.view.status
        if s is not None and s["ready"] and time.monotonic() - self._told > 5:
            self._told = time.monotonic()
            print(f"{clock(int(s['now']))} {self.view.pace()}, {self.view.rate:,.0f} updates/s, {s['signals']} signals of "
                  f"{s['candidates']} candidates{', filter OFF' if without_filter(s) else ''}, {s['orders']} orders, "
                  f"{self.view.store.get('stored', 0):,} ticks in ClickHouse", flush=True)

    def drop(self) -> None:
        """The terminal is gone: nothing more is drawn."""
        self.quiet = True
        self.close()

    def close(self) -> None:
        if self.live:
            with contextlib.suppress(OSError):             # nobody may be there to see it
                self.live.stop()
            self.live = None
