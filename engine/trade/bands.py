"""The exchange's price bands, re-read while the day runs: they are not in the feed, and the exchange moves them. Pure: no clock,
no I/O."""
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from _ext.core.clock import SECOND
from _ext.core.records import REC_BANDS
from _ext.entrance import Core
from engine.broker.base import Broker
from engine.trade.inputs import bands_record

EVERY = {"held": 10 * SECOND, "all": 120 * SECOND}
"""Names with a position or a working entry, and every name that may be traded."""
KEYS_A_CALL = 200
"""Upstox takes 500, but a request line of so many keys is longer than servers like."""


class BandWatch:
    """Bands of `keys` (instrument row -> key) for `core`, as the quotes of `broker` tell them; `feed(kind, payload)` takes what
    changed."""

    def __init__(self, broker: Broker, core: Core, keys: Mapping[int, str], feed: Callable[[int, bytes], Any]):
        self.broker, self.core, self.feed = broker, core, feed
        self.keys = {inst: key for inst, key in keys.items() if core.instrument(inst)["tradable"]}
        self.insts = {key: inst for inst, key in self.keys.items()}
        self.known = {inst: self._band_of(inst) for inst in self.keys}
        self.asked = {inst: -EVERY["all"] for inst in self.keys}
        self.urgent: set[int] = set()
        self.all_at = self.held_at = 0

    def _band_of(self, inst: int) -> tuple[int, int]:
        spec = self.core.instrument(inst)
        return int(spec["lower_band"]), int(spec["upper_band"])

    def soon(self, inst: int) -> None:
        """An order of the name was refused or cancelled: perhaps its band has moved."""
        if inst in self.keys:
            self.urgent.add(inst)

    def due(self, now: int) -> list[list[str]]:
        """Keys to ask quotes for now, a list a call. A name that is asked for because of a refusal is asked once a second at
        most."""
        wanted = {inst for inst in self.urgent if now - self.asked[inst] >= SECOND}
        if now - self.all_at >= EVERY["all"]:
            self.all_at = now
            wanted |= set(self.keys)
        if now - self.held_at >= EVERY["held"]:
            self.held_at = now
            wanted |= {int(slot["inst"]) for slot in self.core.positions()} & set(self.keys)
        self.urgent -= wanted
        for inst in wanted:
            self.asked[inst] = now
        names = [self.keys[inst] for inst in sorted(wanted)]
        return [names[at:at + KEYS_A_CALL] for at in range(0, len(names), KEYS_A_CALL)]

    def on_quotes(self, rows: Iterable[Any]) -> None:
        """Quotes as the broker gives them. A band that makes no sense changes nothing."""
        changed: dict[int, tuple[int, int]] = {}
        for quote in map(self.broker.quote_of, rows):
            inst = self.insts.get(quote.key) if quote is not None else None
            if quote is not None and inst is not None and quote.band is not None and quote.band != self.known[inst]:
                changed[inst] = self.known[inst] = quote.band
        if changed:
            self.feed(REC_BANDS, bands_record(changed))
