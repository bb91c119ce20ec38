"""What a live day is made of: the names, what each may be traded with, their past and the money, as this morning shows them."""
import dataclasses
import datetime as dt
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import day_of_minutes
from _ext.core.records import INSTRUMENT, REC_INSTRUMENTS, REC_START, WARM_BAR
from engine.broker.base import BrokerError
from engine.broker.upstox import answers, candles, fetch, master
from engine.broker.upstox.api import Api
from engine.broker.upstox.market import Market
from engine.broker.upstox.protocol import funds_of, paise
from engine.config import Config
from engine.market import history, sessions, universe
from engine.market.instruments import Instrument, of_table
from engine.run import rollout
from engine.run import universe as kept
from engine.trail.rundir import RunError

NO_HISTORY = "no history: the first 20 minutes make no candidates (`python -m engine history sync`)"


@dataclass
class Screened:
    """One day's instruments. `order`: keys, the most liquid first; `factors` and `shares`: what the prices and the number of shares
    were multiplied by, by key, of names to which something happened since their history was fetched; `documents`: the UNIVERSE
    records."""
    day: dt.date
    specs: list[Instrument]
    config: Config
    speed: float = 1.0
    order: list[str] = field(default_factory=list)
    factors: dict[str, float] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    documents: list[dict[str, Any]] = field(default_factory=list)


async def of_sim(rest: Market, config: Config) -> Screened:
    """The day, its instruments and the speed of time as the sim at the other end has them."""
    about = answers.parse(await rest.raw("/sim/instruments"), answers.LARGE)
    try:
        day, specs = dt.date.fromisoformat(about["day"]), [Instrument(**spec) for spec in about["specs"]]
        return Screened(day, specs, config, float(about["speed"]))
    except (KeyError, TypeError, ValueError):
        raise RunError(f"{rest.base} answers, but not as this engine's sim: `python -m engine sim`") from None


async def of_broker(rest: Market, config: Config, note: Callable[[str], Any], is_live: bool) -> Screened:
    """Today's, from the broker's instrument file and quotes; where real money is at stake within the step of the roll-out in
    force."""
    day = dt.datetime.now(sessions.IST).date()
    source, word = await master.fetch(day, again=True)
    if word:
        note(word)
    listed = master.banned(Path(config.ban_list) if config.ban_list else None, day)
    today = kept.take(day, source.listing, listed, config.excluded)
    for stock in today.universe.stocks.values():
        if stock.status == universe.SUSPENDED:
            note(f"{stock.symbol} is watched, not traded: {stock.reason}")
    is_future = config.risk.vehicle == "future"
    specs = today.universe.specs(futures=is_future)
    near = {s.symbol: s.futures[0].key for s in today.universe.stocks.values() if s.futures}
    quotes = await rest.quotes(dict.fromkeys([*(s.key for s in specs), *near.values()]))
    usual = history.turnovers(day)
    factors, shares, strange = await nights(rest, [s for s in specs if s.kind == "equity"], quotes, today.changes, day, note)
    prices = {key: paise(quote.get("last_price")) for key, quote in quotes.items()}
    ranked = universe.with_liquidity(universe.suspended(today.universe, strange), {
        s.symbol: universe.turnover_of(quotes.get(s.key, {}), quotes.get(near.get(s.symbol, ""), {}), usual.get(s.key, math.nan))
        for s in today.universe.stocks.values()})
    order = [s.key for s in sorted(ranked.stocks.values(), key=lambda s: (math.isnan(s.liquidity), -s.liquidity))]
    specs = [dataclasses.replace(s, tradable=s.tradable and s.key not in strange and s.underlying not in strange)
             for s in today.universe.specs(is_future, config.options, prices)]
    specs = [dataclasses.replace(s, lower=paise(quotes.get(s.key, {}).get("lower_circuit_limit")),
                                 upper=paise(quotes.get(s.key, {}).get("upper_circuit_limit"))) for s in specs]
    if is_live:
        config, specs = rollout.apply(config, specs, rollout.step_of_live())
    return Screened(day, specs, config, order=order, factors=factors, shares=shares,
                    documents=[*kept.noted(day), today.document(ranked)])


MOST_ASKED = 20
"""Names whose candles are asked for a second time in one morning. More jumps than that are no corporate actions."""
ASKED_FROM = 0.04
"""Jump from which a second witness is asked: a bonus of 1:20 takes 4.8 % off the price."""


async def nights(rest: Market, specs: list[Instrument], quotes: dict[str, Any], changes: list[universe.Change], day: dt.date,
                 note: Callable[[str], Any]) -> tuple[dict[str, float], dict[str, float], dict[str, str]]:
    """(factors of prices, of shares, reasons) by key, of stocks whose price jumped overnight: where no reason is known, their
    history says nothing of today."""
    kept = history.recent({s.key: i for i, s in enumerate(specs)}, day)
    factors: dict[str, float] = {}
    shares: dict[str, float] = {}
    strange: dict[str, str] = {}
    asked = 0
    lots: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for change in changes:
        if change.field == "lot" and change.what != "stock":
            lots[change.symbol].append((change.was, change.now))
    for i, s in enumerate(specs):
        mine, now = kept[kept["inst"] == i], paise(quotes.get(s.key, {}).get("prev_close_price"))
        last = int(mine["close"][-1]) if len(mine) else 0
        seen = universe.UNSEEN
        if last > 0 and now > 0 and abs(now / last - 1) > ASKED_FROM and asked < MOST_ASKED:
            asked += 1
            seen = await _second_witness(rest, s.key, mine)
        seen = dataclasses.replace(seen, lots=universe.lots_by(lots.get(s.symbol, ())))
        factor, reason = universe.overnight(last, now, seen)
        if factor != 1.0:
            factors[s.key], shares[s.key] = factor, universe.shares_added(last, now, seen)
        if reason:
            strange[s.key] = reason
            note(f"{s.symbol} and its contracts are watched, not traded today: {reason}")
    return factors, shares, strange


async def _second_witness(rest: Market, key: str, kept: np.ndarray) -> universe.Seen:
    """The minutes that were kept of a name, asked for once more: the broker adjusts its candles for splits and bonuses
    (docs/upstox.md 7.18)."""
    days = [sessions.day_of(number) for number in (day_of_minutes(kept["minute"]).min(), day_of_minutes(kept["minute"]).max())]
    try:
        return universe.witnessed(kept, candles.of_rows(await rest.candles(key, *days)))
    except (BrokerError, ValueError, TypeError, IndexError):
        return universe.UNSEEN


def of_journal(records: Iterable[Any], config: Config, where: Path) -> Screened:
    """A restart goes on with the names the day began with, whatever the instrument file says by now; a journal of another day is
    not gone on with: its bands, budgets and equity are that day's."""
    day, began = dt.datetime.now(sessions.IST).date(), None
    for kind, _, _, payload in records:
        if kind == REC_START:
            began = orjson.loads(payload).get("day")
        elif kind == REC_INSTRUMENTS and began == day.isoformat():
            return Screened(day, of_table(np.frombuffer(payload, INSTRUMENT)), config)
        if began is not None and began != day.isoformat():
            break
    raise RunError(f"{where} holds the journal of {began}: start a new run folder")


def must_be_same(first: tuple[int, int, int, bytes] | None, where: Path, is_paper: bool, is_live: bool) -> None:
    """RunError where the journal whose `first` record this is was begun with other money: what began on paper has neither the
    account's funds nor the limits of the roll-out, and its positions are no broker's."""
    if first is None or first[0] != REC_START:
        return
    start = orjson.loads(first[3])
    was, now = (_MONEY[paper, live] for paper, live in (
        (bool(start.get("via")), bool(start.get("step"))), (is_paper, is_live)))
    if was != now:
        raise RunError(f"{where} holds the journal of a run {was}, and this one is {now}: start a new run folder")


_MONEY = {(True, False): "on paper", (False, True): "with real money", (False, False): "without either"}


async def past(rest: Market, screened: Screened, is_sim: bool, note: Callable[[str], Any]) -> np.ndarray:
    """Bars to start with: the sim's, or what `history sync` has kept and, within the session, today's so far."""
    if is_sim:
        return np.frombuffer(await rest.raw("/sim/history"), WARM_BAR)
    insts, now = {s.key: i for i, s in enumerate(screened.specs)}, dt.datetime.now(sessions.IST)
    factors, shares = ({insts[key]: value for key, value in of.items() if key in insts}
                       for of in (screened.factors, screened.shares))
    bars = history.rescaled(history.recent(insts, screened.day), factors, shares)
    if not len(bars):
        note(NO_HISTORY)
    if dt.time(9, 20) < now.time() < dt.time(15, 30):
        wanted = {s.key: i for i, s in enumerate(screened.specs) if s.tradable}
        bars = np.concatenate([bars, await fetch.today(rest, wanted, now)])
    return bars


async def opening_funds(account: Api | None, config: Config) -> int:
    """Paise at the day's start: the account's, or, where it is none of ours, what the configuration says."""
    return funds_of(await account.funds()) if account is not None else round(config.risk.account_size * 100)
