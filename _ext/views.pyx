"""What Python may look at in a core: nothing here changes a decision."""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from _ext.core.clock cimport MINUTE_MS, SECOND_NS, SESSION_MINUTES, session_minute, stopwatch
from _ext.core.reasons import REASONS
from _ext.core.records cimport N_FEATURES, Candidate, Gap, GateDecision, Intent
from _ext.core.records import GAP, INTENT
from _ext.market.state cimport LONG, RingTick, Row, TickInfo
from _ext.signals.features cimport fill_features
from _ext.signals.scorer cimport Scorer
from _ext.trade.orders cimport Order
from _ext.trade.states cimport ORDER_ABSENT, ORDER_ACCEPTED, ORDER_UNKNOWN, is_live

cdef int64_t GHOST_NS = 90000000000


cdef class CoreViews(FrameSink):
    """The parts of a core. Built by `Core`; the methods here only read."""

    @property
    def digest(self) -> int:
        """Of every record but telemetry, and of every update, so far."""
        return self.sink.digest

    @property
    def records(self) -> int:
        return self.sink.records

    @property
    def models(self) -> dict:
        """sha256 -> Scorer of the models that may be given a role."""
        return self.pipeline.models

    @property
    def scorer(self) -> Scorer:
        """What scores; None: nothing does."""
        return self.pipeline.scorer

    @property
    def scorer_b(self) -> Scorer:
        return self.pipeline.scorer_b

    @property
    def shadows(self) -> list:
        return self.pipeline.shadows

    @property
    def stamped(self) -> bool:
        """Whether this process measures stages."""
        return self.pipeline.stamped

    @stamped.setter
    def stamped(self, bint value):
        self.pipeline.stamped = value

    def features_at(self, uint32_t inst, int direction):
        """Features a candidate would have at the last update of a name: float32 array in the order of FEATURES. The detector's own
        statistics (strength, z20, z50, rz, volume_ratio) are 0: nothing was detected."""
        cdef Candidate c
        self._imagine(inst, direction, &c)
        return np.array(<float[:N_FEATURES]>c.feature)

    def score_at(self, uint32_t inst, int direction, Scorer scorer not None) -> float:
        """What `scorer` would say of that candidate: features and score as at a tick, without an object between them."""
        cdef Candidate c
        self._imagine(inst, direction, &c)
        return scorer.score(c.feature)

    cdef int _imagine(self, uint32_t inst, int direction, Candidate* c) except -1:
        if inst >= self.market.size or self.market.rows[inst].ring_at == 0:
            raise IndexError(f"instrument {inst} has no update")
        cdef const Row* r = &self.market.rows[inst]
        cdef const RingTick* s = &self.market.ring[<size_t>inst * self.market.depth + ((r.ring_at - 1) & (self.market.depth - 1))]
        cdef TickInfo t
        cdef int64_t minute = session_minute(s.ltt // MINUTE_MS)
        memset(c, 0, sizeof(Candidate))
        t.now, t.ltt, t.ltp, t.volume, t.lag_ms, t.flags = s.now, s.ltt, s.ltp, s.volume, 0, s.flags
        t.minute = <int>minute if 0 <= minute < SESSION_MINUTES else -1
        c.move, c.s1m, c.expected, c.last_close = <short>direction, r.s1m, r.expected, <int64_t>r.last_close
        c.price, c.bid, c.ask, c.quality = r.ltp, r.bid, r.ask, min(r.gap_bars, <int>LONG)
        fill_features(self.market, inst, &t, self.pipeline.recent(0, s.now), s.ltt, r.ltp, c)
        return 0

    def take_lost(self):
        """Ledger rows since the last call whose minutes are to be fetched, as an array of records.GAP; nothing of a replay's."""
        cdef uint64_t k, first = max(self.taken_lost, self.n_lost - min(self.n_lost, <uint64_t>LOST_KEPT))
        cdef uint8_t[::1] view
        out = np.empty(self.n_lost - first, GAP)
        if len(out):
            view = out.view(np.uint8)
            for k in range(first, self.n_lost):
                memcpy(&view[(k - first) * sizeof(Gap)], &self.lost[k % LOST_KEPT], sizeof(Gap))
        self.taken_lost = self.n_lost
        return out

    @property
    def has_lost(self):
        """Whether `take_lost` would give anything."""
        return self.n_lost > self.taken_lost

    def take_intents(self):
        """The requests decided since the last call, as an array of records.INTENT; each is journaled already."""
        cdef int n = self.trader.out_count
        if n == 0:
            return ()
        out = np.empty(n, INTENT)
        cdef uint8_t[::1] view = out.view(np.uint8)
        memcpy(&view[0], self.trader.outbox, n * sizeof(Intent))
        self.trader.out_count = 0
        return out

    @property
    def has_intents(self):
        """Whether `take_intents` would give anything."""
        return self.trader.out_count > 0

    @property
    def unclear(self):
        """Orders only a read of the book can tell about: an answer was lost, nothing followed it, or nobody could read what did."""
        cdef uint64_t i
        cdef int count = 0
        for i in range(self.trader.n_orders):
            count += (self.trader.orders[i].state in (ORDER_UNKNOWN, ORDER_ACCEPTED)
                      or (is_live(self.trader.orders[i].state) and self.trader.orders[i].read_after != 0)
                      or (self.trader.orders[i].doubted != 0 and self.now - self.trader.orders[i].doubted < GHOST_NS))
        return count

    @property
    def ghosts(self):
        """Orders looked for in vain within the last minute and a half: they may still turn up."""
        cdef uint64_t i
        cdef int count = 0
        for i in range(self.trader.n_orders):
            count += (self.trader.orders[i].state == ORDER_ABSENT and self.trader.orders[i].missed > 0
                      and self.now - self.trader.orders[i].answered < GHOST_NS)
        return count

    @property
    def differs(self):
        """Names whose position the broker shows otherwise, or must confirm."""
        cdef int i
        cdef int count = self.gate.unreconciled
        for i in range(self.trader.top):
            count += self.trader.slots[i].used and self.trader.slots[i].plan.unwanted
        return count

    def has_open_questions(self) -> bool:
        """Whether any order may be working, or was filled at a price the broker has not told."""
        for i in range(self.trader.n_orders):
            if is_live(self.trader.orders[i].state) or self.trader.orders[i].is_unpriced:
                return True
        return False

    def is_settled(self, uint64_t number) -> bool:
        """Whether all is known of an order: its end, how much was filled, and at what price. True for one that is not ours."""
        if not 0 < number <= self.trader.n_orders:
            return True
        return self.trader.orders[number - 1].is_final and not self.trader.orders[number - 1].is_unpriced

    def position_of(self, uint32_t inst):
        """The position or working entry of one name, as a dict of holdings.pxd::Position; None where there is none."""
        if inst >= self.market.size or self.market.rows[inst].position == 0:
            return None
        return self.trader.slots[self.market.rows[inst].position - 1]

    def live_orders(self) -> list:
        """Every order that may be working, as dicts of orders.pxd::Order."""
        return [self.trader.orders[i] for i in range(self.trader.n_orders)
                if is_live(self.trader.orders[i].state)]

    def orders(self) -> list:
        """Every order of the day, as dicts of orders.pxd::Order."""
        return [self.trader.orders[i] for i in range(self.trader.n_orders)]

    def positions(self) -> list:
        """Open positions and working entries, as dicts of orders.pxd::Position."""
        return [slot for slot in self.trader.slots if slot.used]

    def money(self) -> dict:
        """Equity, available funds, realised, open, charges and exposure, in paise."""
        self.trader.revalue()
        return self.gate.money

    def used(self) -> dict:
        """What is used of the budgets by now, losing trades in a row, and the clocks' difference (ms; -2^62: not known)."""
        cdef GateDecision d
        self.gate._used(self.now, &d)
        return {"used_second": d.used_second, "used_minute": d.used_minute, "used_half_hour": d.used_half_hour,
                "used_hour": d.used_hour, "used_day": d.used_day,
                "entries_minute": self.gate.entries_since(self.now - 60 * SECOND_NS), "losses": self.gate.losses,
                "skew_ms": self.market.min_lag_ms if self.market.clock_skew_ms() is not None else -<int64_t>(1 << 62)}

    def ask_gate(self, uint32_t inst, int side, int64_t quantity, int64_t price) -> tuple:
        """What the gate would say now to an entry: (reason, measured, limit). Nothing is placed or recorded."""
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        cdef GateDecision decision
        self.trader.revalue()
        self.gate.skew = self.market.min_lag_ms
        self.gate.check(inst, &self.specs[inst], &self.market.rows[inst], side, quantity, price, 0, self.now,
                        self.trader.minute_of(self.now), &decision)
        return REASONS[decision.reason], decision.measured, decision.limit

    def time_gate(self, uint32_t inst, int side, int64_t quantity, int64_t price, int64_t[::1] out not None):
        """Fills `out` with the ns of as many checks, each timed alone, the clock's own cost included; the benchmark's door."""
        cdef GateDecision decision
        cdef int64_t minute = self.trader.minute_of(self.now), began
        cdef Py_ssize_t i
        for i in range(out.shape[0]):
            began = stopwatch()
            self.gate.check(inst, &self.specs[inst], &self.market.rows[inst], side, quantity, price, 0, self.now, minute,
                            &decision)
            out[i] = stopwatch() - began

    def order_of(self, bytes order_id not None) -> int:
        """Number of the order the broker calls `order_id`; 0: none of ours."""
        cdef uint64_t i
        cdef bytes wanted = order_id[:32].ljust(32, b"\0")
        cdef const char* text = wanted
        if order_id:
            for i in range(self.trader.n_orders):
                if memcmp(self.trader.orders[i].order_id, text, 32) == 0:
                    return i + 1
        return 0

    def nameless(self, uint32_t inst, int side, int64_t quantity, int64_t price, shown) -> int:
        """Number of the one order of ours like this whose id nobody has told yet and that is none of `shown`; 0 where there is
        none, or more than one."""
        cdef uint64_t i, found = 0
        cdef Order* o
        for i in range(self.trader.n_orders):
            o = &self.trader.orders[i]
            if (o.order_id[0] == 0 and o.inst == inst and o.side == side and o.quantity == quantity and o.price == price
                    and (is_live(o.state) or o.presumed > 0 or (o.state == ORDER_ABSENT and o.missed > 0)) and i + 1 not in shown):
                if found:
                    return 0
                found = i + 1
        return found

    def held(self, uint32_t inst) -> tuple:
        """(net quantity by our orders, net quantity of others) of one name, as the core believes."""
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        return self.trader.ledger[inst].net, self.gate.symbols[inst].foreign

    def states(self) -> tuple:
        """(trading state, operator state, feed up, positions)."""
        return self.gate.state, self.gate.operator, self.gate.feed_up, self.gate.positions

    def instrument(self, uint32_t inst) -> dict:
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        return self.specs[inst]

    def counts(self) -> dict:
        """Counters since the first record."""
        return {"records": self.sink.records, "frames": self.frames, "updates": self.updates, "rejected": self.rejected,
                "dropped": self.dropped, "unknown": self.unknown, "candidates": self.pipeline.candidates,
                "signals": self.pipeline.signals, "orders": self.trader.n_orders, "requests": self.trader.n_serials,
                "second_exits": self.trader.second_exits, "illegal": self.trader.illegal, "unreadable": self.trader.unreadable,
                "bars": self.market.closed, "gaps": self.market.gaps, "late": self.market.late,
                "step_back": self.market.step_back, "repeats": self.market.repeats, "bad_time": self.market.bad_time}
