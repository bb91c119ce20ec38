"""What really came of candidates, on days no model has seen: does activity go on, which way does the price go, what is left after
costs. Real data stays where it is; only figures leave.

Splits are by day and in time: the model learns from the earlier days, leaves one out, and is asked about the later ones.
"""
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from _ext.core.records import WARM_BAR
from _ext.signals.features import FEATURES
from engine.feed import HAS_FULL, HAS_LTPC, TICK_DTYPE
from engine.lab.dataset import Dataset, Minutes, candidates_of, features_of, rows_from
from engine.lab.evaluate import interval
from engine.market import sessions
from engine.market.instruments import Spec
from engine.sim import recorded
from engine.sim.recorded import frames_of

COST_BP = 8.4
"""A round trip of Rs 2 lakh and 2.5 bp of spread and slip (MARKET 4)."""
CLOSES = 10
"""Updates a bar's volume is spread over at its close: one update may add one expected bar."""
BEAT = 2_500
"""ms between updates within a bar: a longer silence would be a gap."""
REMOVED = 0.70
LEARN = 0.65
"""Share of the days, from the first on, that are learned from."""


def days_of_bars(folder: Path, names: int = 0) -> tuple[list[Spec], list[tuple[dt.date, np.ndarray, np.ndarray]],
                                                         dict[tuple[int, int], Minutes]]:
    """(instruments, (day, rows, received) in order, minutes by (instrument, day)) of a folder of one-minute bars (ts, open, high,
    low, close, volume). A bar shows its open, its extremes without volume, and at its close all of its volume: a candidate is one
    of the closed bar, and nothing of its inside is made up. Raises ValueError without any bars."""
    paths = sorted(p for p in folder.glob("*.parquet") if "NIFTY" not in p.stem)[:names or None]
    if not paths:
        raise ValueError(f"{folder}: no Parquet files of bars there")
    specs = [Spec(f"NSE_EQ|{p.stem}"[:48], p.stem[:31]) for p in paths]
    frame = pl.concat([pl.read_parquet(p).select("ts", "open", "high", "low", "close", "volume").with_columns(
        inst=pl.lit(i, pl.Int64), ms=pl.col("ts").dt.epoch("ms")) for i, p in enumerate(paths)]).sort("ms", "inst")
    day_of = (frame["ms"].to_numpy() + 19_800_000) // 86_400_000
    out, minutes = [], {}
    for number in np.unique(day_of):
        day = dt.date(1970, 1, 1) + dt.timedelta(days=int(number))
        part = frame.filter(pl.Series(day_of == number))
        values = {name: np.rint(part[name].to_numpy() * 100).astype(np.int64) for name in ("open", "high", "low", "close")}
        ms, inst, volume = part["ms"].to_numpy(), part["inst"].to_numpy(), part["volume"].fill_null(0).to_numpy().astype(np.int64)
        out.append((day, *_updates(specs, ms, inst, values, volume)))
        open_ms, count = sessions.epoch_ms(day), sessions.close_minute("equity", False, day)
        for k in range(len(specs)):
            m = (ms[inst == k] - open_ms) // 60_000
            mine = Minutes(np.full(count, -np.inf), np.full(count, np.inf), np.full(count, np.nan))
            good = (m >= 0) & (m < count)
            for target, name in ((mine.high, "high"), (mine.low, "low"), (mine.close, "close")):
                target[m[good]] = np.log(np.maximum(values[name][inst == k][good], 1))
            minutes[k, int(number)] = mine
    return specs, out, minutes


def _updates(specs: Sequence[Spec], ms: np.ndarray, inst: np.ndarray, values: dict[str, np.ndarray],
             volume: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, receipt ms) of a day's bars."""
    total = np.zeros(len(ms), np.int64)
    for k in range(len(specs)):
        total[inst == k] = np.cumsum(volume[inst == k])
    before = total - volume
    keys = np.array([s.key.encode() for s in specs], "S48")
    early = [("open", 500), *(("low", at) for at in range(3_000, 28_000, BEAT)),
             *(("high", at) for at in range(28_000, 57_000, BEAT))]
    parts = []
    for step, (price, offset) in enumerate([*early, *(("close", 58_000 + 180 * k) for k in range(CLOSES))]):
        rows = np.zeros(len(ms), TICK_DTYPE)
        rows["key"], rows["key_len"], rows["mode"], rows["has"] = keys[inst], np.char.str_len(keys)[inst], 1, HAS_LTPC | HAS_FULL
        rows["ltp"] = values[price]
        rows["ltt"] = ms + offset
        rows["vtt"] = before + volume * max(step + 1 - len(early), 0) // CLOSES
        parts.append(rows)
    rows = np.concatenate([p.view(np.uint8) for p in parts]).view(TICK_DTYPE)
    order = np.argsort(rows["ltt"], kind="stable")
    return rows[order], rows["ltt"][order] + 300


def of_bars(folder: Path, names: int = 0, level: float = 0.5) -> Dataset:
    """Candidates of a folder of one-minute bars."""
    specs, days, minutes = days_of_bars(folder, names)
    found = candidates_of(specs, ((day, ((at, f) for at, _, f in frames_of(rows, received))) for day, rows, received in days),
                          np.zeros(0, WARM_BAR), level)
    return rows_from(specs, found, "bars", {}, minutes)


def of_second_ticks(folder: Path, days: Sequence[dt.date], level: float = 0.5) -> Dataset:
    """Candidates of recorded one-second ticks, windows carried from day to day."""
    specs: list[Spec] = []
    minutes: dict[tuple[int, int], Minutes] = {}

    def play() -> Iterator[tuple[dt.date, Iterator[tuple[int, bytes]]]]:
        for day in days:
            part = recorded.load(folder, day)
            number, open_ms = (day - dt.date(1970, 1, 1)).days, sessions.epoch_ms(day)
            for inst, spec in enumerate(specs):
                mine = part.rows["key"] == spec.key.encode()
                minutes[inst, number] = Minutes.of_ticks(part.rows["ltt"][mine], part.rows["ltp"][mine], open_ms, 375)
            yield day, ((at, f) for at, _, f in frames_of(part.rows, part.received))

    specs += recorded.load(folder, days[0]).specs
    found = candidates_of(specs, play(), np.zeros(0, WARM_BAR), level)
    return rows_from(specs, found, "ticks", {}, minutes)


def study(data: Dataset, source: str, seed: int = 7) -> dict[str, Any]:
    """AUC of activity and of direction on the later days, beside strength alone; what is kept at 70 % of false positives removed;
    the mean return after costs of what was kept and what was not. Intervals: bootstrap by day."""
    days = np.unique(data.day)
    cut = days[max(int(len(days) * LEARN) - 1, 0)]
    learn, test = data.day <= cut, data.day > cut + 1
    if len(np.unique(data.day[test])) < 2:
        raise ValueError(f"{len(days)} days are too few: the later ones must be at least two")
    names = set(features_of(source))
    use = [i for i, n in enumerate(FEATURES) if n in names and (~np.isnan(data.first[:, i])).mean() >= 0.95]
    x = np.nan_to_num(data.first[:, use])
    labels = {"activity": data.active, "direction: target or stop first": data.barrier,
              "direction: sign of 15 minutes": np.where(np.isnan(data.ahead_bp), np.nan, data.ahead_bp > 0)}
    out: dict[str, Any] = {"candidates": len(data), "days": len(days), "learned_from": int(learn.sum()), "asked": int(test.sum()),
                           "test_days": len(np.unique(data.day[test])), "features": len(use)}
    for name, label in labels.items():
        known = ~np.isnan(label)
        a, b = known & learn, known & test
        model = GradientBoostingClassifier(n_estimators=100, max_depth=3, learning_rate=0.08, subsample=0.6, min_samples_leaf=20,
                                           random_state=seed).fit(x[a], label[a] > 0)
        score = model.predict_proba(x[b])[:, 1]
        out[name] = {"cases": int(b.sum()), "share": round(float((label[b] > 0).mean()), 4),
                     "filter": _ranked(score, label[b] > 0, data.day[b]),
                     "strength": _ranked(data.strength[b], label[b] > 0, data.day[b])}
        if name == "activity":
            out["money"] = money(score, data.ahead_bp[b], data.day[b])
            out["curve"] = {who: curve(s, label[b] > 0) for who, s in (("filter", score), ("strength", data.strength[b]))}
    return out


def _ranked(score: np.ndarray, y: np.ndarray, day: np.ndarray) -> dict[str, Any]:
    both = np.column_stack([score, y])

    def auc(v: np.ndarray) -> float:
        return float(roc_auc_score(v[:, 1] > 0, v[:, 0])) if 0 < v[:, 1].sum() < len(v) else float("nan")

    def kept(v: np.ndarray) -> float:
        return float((v[v[:, 1] > 0, 0] > np.quantile(v[v[:, 1] == 0, 0], REMOVED)).mean())

    return {"auc": round(auc(both), 4), "auc_interval": interval(both, day, auc), "kept_at_70": round(kept(both), 4),
            "kept_interval": interval(both, day, kept)}


def curve(score: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """(share of false positives removed, share of true ones kept) along the threshold."""
    return [(round(q, 2), round(float((score[y] > np.quantile(score[~y], q)).mean()), 4)) for q in np.linspace(0, 0.95, 20)]


def money(score: np.ndarray, ahead_bp: np.ndarray, day: np.ndarray) -> dict[str, Any]:
    """Mean move of 15 minutes in the candidate's direction after costs, bp, of the higher and the lower half of the score, and of
    all."""
    known = ~np.isnan(ahead_bp)
    net, high = ahead_bp[known] - COST_BP, score[known] >= np.median(score[known])
    return {name: {"mean_bp": round(float(net[mine].mean()), 2), "interval": interval(net[mine], day[known][mine]), "cases": int(
        mine.sum())} for name, mine in (("kept", high), ("rejected", ~high), ("no filter", np.ones(len(net), bool)))}


def lines(document: dict[str, Any]) -> list[str]:
    """The study as Markdown."""
    out = [f"{document['candidates']:,} candidates of {document['days']} days; learned from the first "
           f"{document['learned_from']:,}, asked about {document['asked']:,} of the last {document['test_days']} days.", "",
           "| label | cases | share | AUC of the model [95 %] | AUC of strength alone | kept at 70 % of false removed | "
           "strength |",
           "| --- | --- | --- | --- | --- | --- | --- |"]
    for name in (k for k in document if k == "activity" or k.startswith("direction")):
        part = document[name]
        out.append(f"| {name} | {part['cases']} | {part['share']:.2f} | {part['filter']['auc']:.3f} "
                   f"{part['filter']['auc_interval']} | {part['strength']['auc']:.3f} | "
                   f"{part['filter']['kept_at_70']:.0%} | {part['strength']['kept_at_70']:.0%} |")
    out += ["", "| by the activity score | cases | mean of 15 minutes after costs, bp [95 %] |", "| --- | --- | --- |"]
    out += [f"| {name} | {part['cases']} | {part['mean_bp']:+.2f} {part['interval']} |" for name, part in document["money"].items()]
    return out
