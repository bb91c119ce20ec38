"""What the engine asks of a broker: calls, and what the answers say in the engine's own terms. A broker is a folder beside this
file.

`Broker` is a broker's language, pure: no clock, no network, no state. Its network (`upstox/client.py`, `upstox/feed.py`) is
the run's to drive. All money is paise, all prices are of one share.
"""
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.errors import EngineError

TAG_LENGTH = 40
"""Characters of an order's tag that a broker must keep and show again."""


OK, WARN, FAIL = "ok", "warn", "fail"
"""States of a check of doctor's."""


class BrokerError(EngineError):
    """A read that failed for good. `status` is the HTTP status, 0 for no answer; `code` the broker's, if it said one."""

    def __init__(self, status: int, message: str, code: str = ""):
        super().__init__(message)
        self.status, self.code = status, code


class Unreadable(BrokerError, ValueError):
    """An answer that is too large, too deep, or not what it should be. Says so in words of ours; holds nothing of the answer."""

    def __init__(self, message: str):
        super().__init__(200, message)


@dataclass(frozen=True, slots=True)
class Request:
    """One call, as the broker wants it."""
    method: str
    path: str
    body: dict[str, Any] | list[dict[str, Any]] | None = None
    params: dict[str, str] | None = None


@dataclass(slots=True)
class Answer:
    """What came back. `status` 0: nothing did; `body` None: something that nobody can read."""
    status: int
    body: Any
    latency_ns: int = 0
    sim_time: int = 0                 # ns, the sim's clock; 0 from the broker
    date: float | None = None         # epoch seconds of its Date header, where it makes sense


class Verdict(NamedTuple):
    """What an answer to an order request means."""
    outcome: int                      # records.Outcome
    order_id: str = ""
    code: str = ""                    # the broker's word for what went wrong


@dataclass(frozen=True, slots=True)
class OrderRow:
    """What the broker says of one order. A number nobody can read is one that fits no order of ours, and `problem` says why the row
    cannot be taken for an update."""
    name: str = ""                    # the broker's id as it stands there
    order_id: bytes = b""             # the same where it can be one of the records
    tag: str = ""
    key: str = ""                     # of the instrument
    at: str = ""                      # when, as text that sorts
    status: int = 0                   # records.OrderStatus
    side: int = 0                     # +1 bought, -1 sold, 0 it does not say
    order_type: int = 0               # records.OrderType, 0 unknown
    quantity: int = 0
    filled: int = 0
    is_doubtful: bool = False         # whether what is filled is missing or contradicts the status
    value: int = 0                    # paise x quantity of what is filled; 0: the broker does not tell an average that can be
    price: int = 0                    # -1: not readable
    trigger: int = 0
    is_intraday: bool = True
    problem: str = ""
    fill_problem: str = ""            # why nobody can say what it has filled


@dataclass(frozen=True, slots=True)
class PositionRow:
    """What the broker says of one position. `quantity` None: nobody can read it."""
    key: str = ""                     # empty: it names nothing
    quantity: int | None = None
    is_intraday: bool = True          # of another product: not ours to compare


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """A snapshot of one instrument, paise; 0: not told."""
    key: str
    price: int = 0
    bid: int = 0
    bid_quantity: int = 0
    ask: int = 0
    ask_quantity: int = 0
    band: tuple[int, int] | None = None       # (lower, upper) where both make sense


class Broker(Protocol):
    """A broker's language. Methods that take a body raise Unreadable for one that makes no sense, and nothing else."""

    def request_of(self, intent: np.void, key: str, tag: str) -> Request:
        """The call that asks for an intent (records.INTENT)."""

    def verdict_of(self, kind: int, status: int, body: Any) -> Verdict:
        """What an answer to a place, modify or cancel (records.IntentKind) means; never raises. What is not clear is ambiguous."""

    def read_of(self, what: str, keys: Iterable[str] = ()) -> Request:
        """The call that reads `what`: book, positions, funds, quotes (of `keys`)."""

    def rows_of(self, what: str, body: Any) -> list[Any]:
        """The raw rows of a successful answer to such a read."""

    def order_of(self, row: Any) -> OrderRow | None:
        """One row of the book, or a message of the order stream; None for what is no row at all. Never raises."""

    def position_of(self, row: Any) -> PositionRow:
        """One row of the positions; never raises."""

    def quote_of(self, row: Any) -> QuoteRow | None:
        """One row of the quotes; None for one that makes no sense."""

    def funds_of(self, body: Any) -> int:
        """Paise available to trade."""

    def exit_all(self) -> Request:
        """The call that closes every intraday position of the account."""

    def message_of(self, text: str | bytes) -> Any | None:
        """The raw row in a message of the order stream; None where it is about no order."""


def keyed(rows: Iterable[QuoteRow | None]) -> Mapping[str, QuoteRow]:
    """Quotes by instrument; those that make no sense are left out."""
    return {row.key: row for row in rows if row is not None}
