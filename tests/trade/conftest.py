"""A core with one instrument on a quiet market, ready to be asked for an entry, and a broker played by hand."""
import datetime as dt
import itertools

import numpy as np
import orjson
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import (
    ADOPTED,
    CANDIDATE,
    FILL,
    FUNDS,
    GATE,
    INTENT,
    LINK,
    OPERATOR_CHANGE,
    ORDER_UPDATE,
    POSITION,
    QUOTE,
    REC_ADOPTED,
    REC_ASK,
    REC_BANDS,
    REC_BOOK,
    REC_FILL,
    REC_FRAME,
    REC_FUNDS,
    REC_GATE,
    REC_HOLDINGS,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_LINK,
    REC_OPERATOR,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_QUOTES,
    REC_REPLY,
    REC_START,
    REC_STATE,
    REC_TIMER,
    REPLY,
    STATE,
    STATE_ALARM,
    STATE_TRADING,
    TRADING_STATES,
)
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine import config
from engine.feed import HAS_FULL, HAS_GREEKS, TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import epoch_ms
from engine.trade import inputs

DAY = dt.date(2026, 9, 1)
SPECS = [Instrument(f"NSE_EQ|{name}", name, tick=10) for name in ("RELIANCE", "TCS", "SBIN", "SUNPHARMA", "LT")]
"""Five sectors."""
SECOND = 1_000_000_000


class Desk:
    """Drives one core by records, from `minute` of the session. Prices in paise; the book is 10 wide around `mid`, 1,000 a side."""

    def __init__(self, folder, specs=SPECS, minute: float = 30, ready: bool = True, **risk):
        self.specs = specs
        self.folder = folder
        self.journal = Journal(folder, 1 << 22, 1 << 40)
        self.core = Core(self.journal, len(specs))
        self.now = epoch_ms(DAY, minute) * 1_000_000
        settings = config.Config(risk=config.Risk(**risk))
        self.core.feed(REC_START, self.now, orjson.dumps(settings.record() | {"nonce": "n", "engine": "spk"}))
        self.core.feed(REC_INSTRUMENTS, self.now, table(specs, DAY).tobytes())
        self.mid = [100_000] * len(specs)
        self.vtt = 1000
        self.trades: dict[int, tuple[int, int]] = {}       # time (ms) and volume of the last of each instrument
        if not ready:
            return
        self.funds(100_000_000)
        self.holdings({})
        self.link(0, True)
        self.link(1, True)
        for i in range(len(specs)):
            self.tick(i, seconds=0)

    def funds(self, paise: int) -> None:
        row = np.zeros(1, FUNDS)
        row["available"] = row["at_day_start"] = paise
        self.core.feed(REC_FUNDS, self.now, row.tobytes())

    def link(self, which: int, up: bool) -> None:
        row = np.zeros(1, LINK)
        row["which"], row["up"] = which, up
        self.core.feed(REC_LINK, self.now, row.tobytes())

    def holdings(self, quantities: dict[int, int], ago: float = 0.0, **given):
        """A read of the broker's positions, asked for `ago` seconds before now; `given`: others, unreadable."""
        self.core.feed(REC_HOLDINGS, self.now, inputs.holdings_record(quantities, self.now - round(ago * SECOND), **given))
        return self.intents()

    def book(self, *intents, ago: float = 0.0):
        """A full read of the book that showed these orders; their states are told by `update` before."""
        self.core.feed(REC_BOOK, self.now, inputs.book_record([int(i["id"]) for i in intents], self.now - round(ago * SECOND)))
        return self.intents()

    def operator(self, state: int) -> None:
        row = np.zeros(1, OPERATOR_CHANGE)
        row["state"] = state
        self.core.feed(REC_OPERATOR, self.now, row.tobytes())

    def tick(self, inst: int = 0, mid: int | None = None, seconds: float = 0.2, bid: int | None = None, ask: int | None = None,
             trade_ago: float = 0, delta: float | None = None, is_trade: bool = True, bid_q: int = 1000, ask_q: int = 1000):
        """An update of the book and the last price, `seconds` later; the trade is `trade_ago` seconds old on receipt. `delta`: of
        an option, with the feed's Greeks; without `is_trade` the book alone has changed."""
        self.now += round(seconds * SECOND)
        self.mid[inst] = mid or self.mid[inst]
        self.vtt += 10
        if is_trade:
            self.trades[inst] = self.now // 1_000_000 - round(trade_ago * 1000), self.vtt
        row = np.zeros(1, TICK_DTYPE)
        key = self.specs[inst].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"], row["n_levels"] = key, len(key), 1, 1 | 2 | 64, 1
        row["ltp"], row["ltt"], row["vtt"] = self.mid[inst], *self.trades[inst]
        row["levels"]["bidP"][:, 0] = self.mid[inst] - 10 if bid is None else bid
        row["levels"]["askP"][:, 0] = self.mid[inst] + 10 if ask is None else ask
        row["levels"]["bidQ"][:, 0], row["levels"]["askQ"][:, 0] = bid_q, ask_q
        if delta is not None:
            row["has"] |= HAS_FULL | HAS_GREEKS
            row["iv"], row["delta"] = 0.3, delta
        self.core.feed(REC_FRAME, self.now, encode(row, self.now // 1_000_000))
        return self.intents()

    def timer(self, seconds: float = 1.0):
        self.now += round(seconds * SECOND)
        self.core.feed(REC_TIMER, self.now)
        return self.intents()

    def ask(self, inst: int = 0, direction: int = 1, number: int = 1, spike: int = 0) -> None:
        row = np.zeros(1, CANDIDATE)
        row["price"], row["last_close"] = self.mid[inst], self.mid[inst] - direction * spike
        row["id"], row["inst"], row["side"] = number, inst, direction
        self.core.feed(REC_ASK, self.now, row.tobytes())

    def enter(self, inst: int = 0, direction: int = 1, number: int = 1, spike: int = 0):
        """Asks for an entry as a validated candidate would: (reason in words, intents)."""
        self.ask(inst, direction, number, spike)
        return REASONS[self.records(REC_GATE, GATE)[-1]["reason"]], self.intents()

    def missed(self, seconds: float) -> list:
        """Full reads of the book every two seconds that show none of our orders; what was asked for meanwhile."""
        out = []
        for _ in range(round(seconds / 2)):
            out += self.tick(seconds=2) + self.book()
        return out

    def intents(self) -> list:
        return list(self.core.take_intents())

    def reply(self, intent, outcome: int = 1, code: int = 200, kind: int | None = None):
        row = np.zeros(1, REPLY)
        row["intent"], row["outcome"], row["code"] = intent["id"], outcome, code
        row["kind"] = intent["kind"] if kind is None else kind
        row["order_id"] = f"B{intent['id']}".encode()
        self.now += 30_000_000
        self.core.feed(REC_REPLY, self.now, row.tobytes())
        return self.intents()

    def update(self, intent, status: int, filled: int = 0, price: int | None = None, is_doubtful: int = 0):
        """An order message: status 2 open, 3 complete, 4 cancelled, 5 rejected; `is_doubtful`: not how much was filled."""
        row = np.zeros(1, ORDER_UPDATE)
        row["intent"], row["status"], row["filled"] = intent["id"], status, filled
        row["value"], row["quantity"] = filled * (price or int(intent["price"])), intent["quantity"]
        row["order_id"], row["is_doubtful"] = f"B{intent['id']}".encode(), is_doubtful
        self.now += 10_000_000
        self.core.feed(REC_ORDER_UPDATE, self.now, row.tobytes())
        return self.intents()

    def bands(self, inst: int, lower: int, upper: int):
        """The exchange takes orders at other prices."""
        self.core.feed(REC_BANDS, self.now, inputs.bands_record({inst: (lower, upper)}))
        return self.intents()

    def alarms(self) -> list[str]:
        return [REASONS[r["reason"]] for r in self.records(REC_STATE, STATE) if r["what"] == STATE_ALARM]

    def turns(self) -> list[tuple[str, str]]:
        """Each change of the trading state: what it is from then on, and why in words."""
        return [(TRADING_STATES[r["now_is"]], REASONS[r["reason"]]) for r in self.records(REC_STATE, STATE)
                if r["what"] == STATE_TRADING]

    def quotes(self, inst: int, mid: int):
        """Quotes by REST of one name."""
        row = np.zeros(1, QUOTE)
        row["inst"], row["ltp"], row["bid"], row["ask"], row["bid_q"], row["ask_q"] = inst, mid, mid - 10, mid + 10, 100, 100
        self.core.feed(REC_QUOTES, self.now, row.tobytes())

    def adopt(self, inst: int, **fields):
        """An order of an earlier life, as the first read of the book shows it."""
        row = np.zeros(1, ADOPTED)
        row["inst"] = inst
        for name, value in fields.items():
            row[name] = value
        row["value"], row["order_type"] = row["filled"] * row["price"], 2 if fields.get("trigger") else 1
        self.core.feed(REC_ADOPTED, self.now, row.tobytes())

    def records(self, kind: int, dtype) -> list:
        return [np.frombuffer(r[3], dtype)[0] for r in Reader(self.folder) if r[0] == kind]

    def position(self):
        return self.records(REC_POSITION, POSITION)[-1]

    def fills(self) -> list:
        return self.records(REC_FILL, FILL)

    def all_intents(self) -> list:
        return self.records(REC_INTENT, INTENT)


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@pytest.fixture
def make_desk(tmp_path):
    """Desks of a test, each in a folder of its own."""
    made = itertools.count()
    return lambda **given: Desk(tmp_path / str(next(made)), **given)
