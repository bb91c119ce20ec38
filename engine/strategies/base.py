"""What a strategy in Python is: a class with parameters, called when a bar has closed, never within a tick.

Prices and money are rupees, times seconds since 1970 or India's clock; everything a call is given may be read until it returns.
What a call asks for (`candidate`, `exit`) counts once it has returned. A strategy must decide by what it is given alone: no clock,
no random numbers, no files, no sets whose order matters. Then a replay makes the same decisions.
"""
import datetime as dt
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from _ext.core.records import KINDS, ROLE_ENTRY
from engine.errors import UsageError
from engine.market.sessions import IST

if TYPE_CHECKING:
    from _ext.entrance import Core
    from _ext.signals.strategies import StrategyHost

NOTE_LENGTH = 31
PRICES = frozenset({"macd", "macd_signal", "macd_histogram", "middle", "upper", "lower", "atr", "vwap", "support", "resistance"})
"""Indicators that are prices, or differences of prices."""
TIMEFRAMES = (1, 2, 3, 5, 10, 15, 20, 25, 30, 60, 75, 125)
"""Minutes a bar may have."""


class StrategyError(UsageError, ValueError):
    """A strategy asks for something that cannot be; the message says what."""


class Parameters(BaseModel):
    """Settings of a strategy, each with a type and bounds; engine.toml gives other values."""
    model_config = ConfigDict(frozen=True, extra="forbid")


class Instrument(NamedTuple):
    """A name of the day. Rupees."""
    symbol: str
    kind: str                         # equity, future, option, index
    number: int                       # its row of the day's instruments
    tick: float
    lot: int
    strike: float = 0.0               # of an option
    right: int = 0                    # of an option: +1 a call, -1 a put
    days: int = 0                     # to the last day of a contract


class Bars:
    """Closed bars of one instrument and timeframe, oldest first; float64 arrays, read-only."""
    __slots__ = ("values",)

    def __init__(self, values: np.ndarray):
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def time(self) -> np.ndarray:
        """Seconds since 1970 of the bars' starts."""
        return self.values[:, 0]

    @property
    def open(self) -> np.ndarray:
        return self.values[:, 1]

    @property
    def high(self) -> np.ndarray:
        return self.values[:, 2]

    @property
    def low(self) -> np.ndarray:
        return self.values[:, 3]

    @property
    def close(self) -> np.ndarray:
        return self.values[:, 4]

    @property
    def volume(self) -> np.ndarray:
        """Shares."""
        return self.values[:, 5]


class Book(NamedTuple):
    """Last price and best quotes; 0: none."""
    last: float
    bid: float
    ask: float
    bid_quantity: int
    ask_quantity: int
    age: float                        # s since the last update with a book


class Position(NamedTuple):
    """What a strategy holds of an instrument. Rupees."""
    side: int                         # +1 long, -1 short
    quantity: int
    average: float
    stop: float
    target: float
    opened: float                     # seconds since 1970 of the first fill; 0: the entry still works


class Greeks(NamedTuple):
    """Of an option: the feed's, or Black-Scholes of its last price (docs/market.md)."""
    iv: float                         # a year, a fraction; 0: unknown
    delta: float
    gamma: float
    theta: float                      # rupees a day
    vega: float                       # rupees a point of volatility
    age: float                        # s; inf: none known


class Signal(NamedTuple):
    """A candidate of another source."""
    source: str
    instrument: Instrument
    move: int                         # of the price: +1 up, -1 down
    side: int                         # of the trade it proposes
    strength: float
    price: float
    last_close: float                 # before its minute
    score: float                      # of the filter; NaN: not asked
    z20: float
    rz: float                         # the minute's move in one-minute standard deviations
    volume_ratio: float


class Fill(NamedTuple):
    """Part of an order of this strategy that was filled. Rupees."""
    instrument: Instrument
    is_entry: bool
    side: int
    quantity: int
    price: float
    charges: float


class Ended(NamedTuple):
    """A position of this strategy that has ended. Rupees."""
    instrument: Instrument
    side: int
    quantity: int
    average: float
    net: float                        # after charges


class Strategy:
    """Base of all strategies. A subclass gives what is marked, and any of the `on_` methods.

    `timeframes`: minutes of the bars it wants; a parameter of that name takes their place. `kinds`: of instruments whose bars it
    wants. `is_scored`: whether the noise filter judges its candidates; the filter was measured on spikes alone. `is_strict`:
    whether the seed's rules (strength, volume, trend) judge them too; session, opposing candidates and the book always do.
    """
    Parameters: ClassVar[Any] = Parameters
    timeframes: tuple[int, ...] = (1,)
    kinds: ClassVar[tuple[str, ...]] = ("equity",)
    is_scored: ClassVar[bool] = False
    is_strict: ClassVar[bool] = False

    def __init__(self, name: str = "", parameters: BaseModel | None = None):
        self.name = name
        self.parameters: Any = parameters if parameters is not None else type(self).Parameters()
        self.timeframes: tuple[int, ...] = getattr(self.parameters, "timeframes", type(self).timeframes)
        if not isinstance(self.timeframes, tuple) or not self.timeframes or set(self.timeframes) - set(TIMEFRAMES):
            raise StrategyError(f"strategy {name}: a bar has {', '.join(map(str, TIMEFRAMES))} minutes, not {self.timeframes}")
        if not isinstance(self.kinds, tuple):
            raise StrategyError(f"strategy {name}: kinds is {self.kinds!r}, a tuple of {', '.join(KINDS)} is wanted")
        if strange := set(self.kinds) - set(KINDS):
            raise StrategyError(f"strategy {name}: there is no kind {min(strange)}; there are {', '.join(KINDS)}")
        self._wanted: dict[int, bool] = {}
        self._known: dict[int, Instrument] = {}
        self._is_started = False

    # ---- what a strategy does with what happens -------------------------------------------------------------------------
    def on_start(self) -> None:
        """Called once, before the first other call: `instruments` are known."""

    def on_bar(self, instrument: Instrument, minutes: int, bars: Bars) -> None:
        """A bar of `minutes` minutes has closed: the last of `bars`. Once a bar, never for history."""

    def on_candidate(self, signal: Signal) -> None:
        """Another source has a candidate worth trading."""

    def on_fill(self, fill: Fill) -> None:
        """Part of an order of this strategy was filled."""

    def on_exit(self, ended: Ended) -> None:
        """A position of this strategy has ended."""

    def on_history_changed(self, instrument: Instrument) -> None:
        """Minutes that were lost in a gap were filled in: `bars` of the instrument are made anew."""

    # ---- what it may ask for --------------------------------------------------------------------------------------------
    def candidate(self, instrument: Instrument, side: int, *, strength: float = 1.0, move: int = 0, limit: float = 0.0,
                  stop: float = 0.0, target: float = 0.0, hold: float = 0.0, guide: Instrument | None = None,
                  reason: str = "") -> None:
        """Proposes a trade: `side` +1 to buy, -1 to sell short. `move`: direction of the event, by default the side's. `limit`: pay
        no more, take no less (it waits five seconds). `stop`, `target` (rupees) and `hold` (seconds) end the position earlier than
        the account's own; they cannot widen them. `guide`: the underlying of a contract, whose prices `stop` and `target` are then;
        the contract's stop follows by its delta. The gate sizes it, or denies it. StrategyError for what makes no sense."""
        self._must_be_one(instrument)
        if guide is not None:
            self._must_be_one(guide)
            if self._core.instrument(instrument.number)["under"] != guide.number:
                raise StrategyError(f"{guide.symbol} is not the underlying of {instrument.symbol}: it cannot guide it")
        if side not in (1, -1) or move not in (1, 0, -1):
            raise StrategyError(f"side {side!r}, move {move!r}: +1 or -1")
        numbers = {"strength": strength, "limit": limit, "stop": stop, "target": target, "hold": hold}
        for name, value in numbers.items():
            is_number = isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value) or value < 0 or value > 1e9:
                raise StrategyError(f"{name} is {value!r}: a number from 0 on is wanted")
        if not 0 < strength <= 1:
            raise StrategyError(f"strength is {strength!r}: more than 0, at most 1")
        if not isinstance(reason, str):
            raise StrategyError(f"reason is {reason!r}: a text is wanted")
        note = reason.encode("ascii", "replace")[:NOTE_LENGTH].ljust(NOTE_LENGTH + 1, b"\0")
        event = {"level": 1, "move": move or side, "side": side, "strength": float(strength), "own": [0.0] * 6}
        self._host.wish((instrument.number, self._place, {
            "event": event, "limit": round(limit * 100), "stop": round(stop * 100), "target": round(target * 100),
            "hold": round(hold * 1e9), "guide": guide.number + 1 if guide is not None else 0, "note": note}))

    def exit(self, instrument: Instrument, reason: str = "") -> None:
        """Ends this strategy's own position in an instrument, or takes its entry back; nothing where it has none."""
        self._must_be_one(instrument)
        self._host.wish((instrument.number, self._place, None))

    def _must_be_one(self, instrument: Instrument) -> None:
        if not isinstance(instrument, Instrument) or self._known.get(instrument.number) != instrument:
            raise StrategyError(f"{instrument!r} is no instrument of the day: take one a call was given, or "
                                "self.instrument(symbol)")

    # ---- what it may look at --------------------------------------------------------------------------------------------
    @property
    def now(self) -> dt.datetime:
        """Time of the record under way, India's."""
        return dt.datetime.fromtimestamp(self._host.now / 1e9, IST)

    @property
    def instruments(self) -> list[Instrument]:
        """Every instrument of the day."""
        return [self._instrument(number) for number in range(self._core.keys.size)]

    def instrument(self, symbol: str) -> Instrument:
        """The instrument of a symbol. StrategyError where the day has none."""
        for instrument in self.instruments:
            if instrument.symbol == symbol:
                return instrument
        raise StrategyError(f"there is no {symbol} today")

    def bars(self, instrument: Instrument, minutes: int = 1) -> Bars:
        """Closed bars of a timeframe that some strategy has asked for."""
        try:
            return Bars(self._host.bars(instrument.number, minutes))
        except KeyError:
            raise StrategyError(f"bars of {minutes} minutes are not kept: name them in `timeframes`") from None

    def confirmed(self, instrument: Instrument, side: int, direction: Callable[[Bars], float]) -> bool:
        """Whether every timeframe but the first says `side` too: `direction` of its bars has that sign. No word is no."""
        return all(side * direction(self.bars(instrument, minutes)) > 0 for minutes in self.timeframes[1:])

    def book(self, instrument: Instrument) -> Book:
        """Last price and best quotes."""
        row = self._core.market.row(instrument.number)
        return Book(row["ltp"] / 100, row["bid"] / 100, row["ask"] / 100, row["bid_q"], row["ask_q"],
                    (self._host.now - row["book_seen"]) / 1e9)

    def spot(self, symbol: str) -> float:
        """Last price of an index or of any other name; 0 before its first."""
        return float(self._core.market.row(self.instrument(symbol).number)["ltp"] / 100)

    def indicators(self, instrument: Instrument) -> dict[str, float]:
        """The engine's own indicators after the last closed minute, by name (docs/strategies.md); prices in rupees."""
        found = self._core.market.indicators_at(instrument.number)
        return {name: value / 100 if name in PRICES else value for name, value in found.items() if name != "gap_bars"}

    def greeks(self, option: Instrument) -> Greeks:
        """Volatility and Greeks of an option, as of its last update that told them."""
        under = self._core.instrument(option.number)["under"]
        if option.kind != "option" or under >= self._core.keys.size:
            raise StrategyError(f"{option.symbol} is no option of a name that is watched")
        found = self._core.market.chains.view(under)["contracts"][option.number]
        known, age = found["greeks"], (self._host.now - found["seen"]) / 1e9 if found["seen"] else math.inf
        return Greeks(found["iv"], known["delta"], known["gamma"], known["theta"], known["vega"], age)

    def at_the_money(self, instrument: Instrument, right: int, price: float) -> Instrument | None:
        """Of the options of a stock that are watched: the call (`right` +1) or put (-1) with the strike nearest to `price`; None
        without one."""
        mine = [option for option in self.chain(instrument) if option.right == right]
        return min(mine, key=lambda option: (abs(option.strike - price), option.strike), default=None)

    def chain(self, instrument: Instrument) -> list[Instrument]:
        """Options of a stock that are watched, by strike."""
        rows = [(self._core.instrument(number), number) for number in range(self._core.keys.size)]
        found = [(row["strike"], number) for row, number in rows
                 if row["under"] == instrument.number and KINDS[row["kind"]] == "option"]
        return [self._instrument(number) for _, number in sorted(found)]

    def position(self, instrument: Instrument) -> Position | None:
        """This strategy's own position or working entry in an instrument; None where it has none."""
        slot = self._core.position_of(instrument.number)
        if slot is None or slot["source"] != self._place:
            return None
        held, plan = slot["bought"] - slot["sold"], slot["plan"]
        average = slot["cost"] / slot["bought"] / 100 if slot["bought"] else 0.0
        return Position(slot["side"], held, average, plan["stop"] / 100, plan["target"] / 100, plan["opened"] / 1e9)

    # ---- the host's door ------------------------------------------------------------------------------------------------
    @property
    def hears_candidates(self) -> bool:
        return type(self).on_candidate is not Strategy.on_candidate

    @property
    def hears_fills(self) -> bool:
        return type(self).on_fill is not Strategy.on_fill or type(self).on_exit is not Strategy.on_exit

    def bind(self, core: "Core", host: "StrategyHost", place: int) -> None:
        """The core it looks at, and its place among the sources."""
        self._core, self._host, self._place = core, host, place

    def wants(self, number: int) -> bool:
        """Whether bars of an instrument are to be told."""
        if number not in self._wanted:
            self._wanted[number] = self._instrument(number).kind in self.kinds
        return self._wanted[number]

    def _instrument(self, number: int) -> Instrument:
        if number not in self._known:
            row = self._core.instrument(number)
            symbol = bytes(row["symbol"]).rstrip(b"\0").decode()
            days = row["expiry"] - self._today() if row["expiry"] else 0
            self._known[number] = Instrument(symbol, KINDS[row["kind"]], number, row["tick"] / 100, row["lot"], row["strike"] / 100,
                                             row["right"], days)
        return self._known[number]

    def _today(self) -> int:
        """Days since 1970 of the core's day."""
        return (dt.date.fromisoformat(self._core.config["day"]) - dt.date(1970, 1, 1)).days

    def called(self, method: str, argument: Any) -> None:
        """One call by the host, with what it was told."""
        if not self._is_started:
            self._is_started = True
            self.on_start()
        if method == "bar":
            number, minutes, values = argument
            self.on_bar(self._known.get(number) or self._instrument(number), minutes, Bars(values))
        elif method == "history":
            self.on_history_changed(self._instrument(argument))
        elif method == "candidate":
            self.on_candidate(Signal(
                self._core.pipeline.names[argument["source"]], self._instrument(argument["inst"]), argument["move"],
                argument["side"], argument["strength"], argument["price"] / 100, argument["last_close"] / 100, argument["score"],
                argument["z20"], argument["rz"], argument["volume_ratio"]))
        elif method == "fill":
            self.on_fill(Fill(self._instrument(argument["inst"]), argument["role"] == ROLE_ENTRY, argument["side"],
                              argument["quantity"], argument["price"] / 100, argument["charges"] / 100))
        else:
            self.on_exit(Ended(self._instrument(argument["inst"]), argument["side"], argument["bought"],
                               argument["cost"] / argument["bought"] / 100, argument["net"] / 100))
