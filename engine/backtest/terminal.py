"""A backtest's results as a page of text."""
from collections.abc import Mapping, Sequence
from typing import Any

MOST = 8
"""Rows of a table."""


def page(document: Mapping[str, Any]) -> str:
    """The figures, each with its interval, and the groups of trades."""
    result, interval = document["result"], document["result"]["interval"]
    first, last = document["first"], document["last"]
    lines = [f"{document['data']}: {result['days']} days, {first} to {last}, {document['rows']:,} rows in "
             f"{document['seconds']:.1f} s of processor time"]
    lines += [f"note: {note}" for note in document["notes"]]
    lines += [f"STRATEGY OFF on {text}" for text in document["stopped"]]
    if not document["is_whole"]:
        lines.append(f"NOT WHOLE: {document['problem'] or 'it was interrupted'}; this is what was done")
    lines += ["", f"{'trades':<22}{result['trades']:>12,}" + (f"   {result['open']} still open" if result["open"] else "")]
    for name, figure, form in FIGURES:
        value = result[figure]
        between = interval.get(figure)
        lines.append(f"{name:<22}{form(value) if value is not None else '-':>12}"
                     + (f"   {form(between[0])} to {form(between[1])}" if between else ""))
    if result["max_drawdown"]:
        lines.append(f"{'  its days':<22}{'':>12}   {result['drawdown_from']} to {result['drawdown_to']}")
    if result["ambiguous"]:
        lines.append(f"{'stop and target both':<22}{result['ambiguous']:>12,}   in the bar of the exit; the stop counted")
    if "optimistic" in document:
        best = document["optimistic"]
        lines.append(f"{'the good extreme first':<22}{_rupees(best['net']):>12}   {best['trades']} trades: how much the order of a "
                     "bar's extremes matters")
    for name in () if not result["trades"] else ("source", "direction", "reason", "hour", "score", "instrument"):
        lines += ["", *_table(name, document["groups"][name])]
    lines += ["", *_reasons("candidates that the rules refused", document["counts"]["rules"]),
              *_reasons("entries that the gate refused", document["counts"]["gate"])]
    if document["counts"]["gate"].get("losing streak"):
        lines.append("(losing streak: risk.losing_streak and risk.streak_pause_s in engine.toml)")
    return "\n".join(lines)


def _share(value: float) -> str:
    return f"{value:.1%}"


def _fine(value: float) -> str:
    return f"{value:.2%}"


def _number(value: float) -> str:
    return f"{value:.2f}"


def _rupees(value: float) -> str:
    return f"{value:,.0f}"


FIGURES = (
    ("win rate", "win_rate", _share), ("net, rupees", "net", _rupees), ("gross, rupees", "gross", _rupees),
    ("costs, rupees", "charges", _rupees), ("total return", "total_return", _fine), ("a trade, bp net", "average_bp", _number),
    ("profit factor", "profit_factor", _number), ("Sharpe", "sharpe", _number), ("Sortino", "sortino", _number),
    ("largest drawdown", "max_drawdown", _fine), ("minutes a trade", "average_minutes", _number),
    ("time with a position", "exposure", _share), ("turnover, x account", "turnover", _number))
"""Words, field, and how it is written."""


def _table(name: str, rows: Mapping[str, Any]) -> Sequence[str]:
    """A group's rows, most trades first."""
    out = [f"{name:<22}{'trades':>8}{'win':>8}{'bp':>9}{'net':>12}"]
    order = sorted(rows.items(), key=lambda item: item[0]) if name in ("hour", "score") else sorted(
        rows.items(), key=lambda item: -item[1]["trades"])
    for word, row in order[:MOST]:
        out.append(f"{word:<22}{row['trades']:>8,}{_share(row['win_rate']):>8}{row['average_bp']:>9.1f}{_rupees(row['net']):>12}")
    if len(rows) > MOST:
        out.append(f"and {len(rows) - MOST} more in backtest.json")
    return out


def _reasons(title: str, counts: Mapping[str, int]) -> Sequence[str]:
    refused = sorted(((number, reason) for reason, number in counts.items() if reason != "pass"), reverse=True)[:MOST]
    return [f"{title}: " + ", ".join(f"{reason} {number:,}" for number, reason in refused)] if refused else []
