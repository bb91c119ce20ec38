"""The F&O universe: which stocks, on what terms, what changed, who may trade."""
import asyncio
import datetime as dt
import math
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from engine import config as configuration
from engine.broker.upstox import master
from engine.cli.options import Failed, Json, show
from engine.market import universe as work
from engine.market.sessions import IST
from engine.run import universe as kept

app = typer.Typer(invoke_without_command=True, help="The F&O universe: screen, compare two days, acknowledge changes.")
Day = Annotated[str | None, typer.Option(help="trading day, YYYY-MM-DD; by default today, or what the file's name says")]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def _day_of(text: str, given: str | None = None, option: str = "--day YYYY-MM-DD") -> dt.date:
    found = given or (match.group() if (match := _DATE.search(text)) else "")
    try:
        return dt.date.fromisoformat(found)
    except ValueError:
        if given:
            raise typer.BadParameter(f"{given!r} is no day: YYYY-MM-DD is wanted") from None
        raise typer.BadParameter(f"{text}: no day in its name: name it NSE.YYYY-MM-DD.json.gz, or give {option}") from None


@app.callback()
def universe(context: typer.Context,
             file: Annotated[Path | None, typer.Option(help="an instrument file instead of the broker's of today")] = None,
             day: Day = None, refresh: Annotated[bool, typer.Option(help="ask the broker whether its file has changed")] = False,
             json: Json = False) -> None:
    """Screen the F&O universe of a day and note what changed since the last one."""
    if context.invoked_subcommand is not None:
        return
    settings, note = configuration.load(), ""
    date = _day_of(file.name if file is not None else "", day) if file is not None or day else dt.datetime.now(IST).date()
    listed = master.banned(Path(settings.ban_list) if settings.ban_list else None, date)
    if file is not None:
        found = work.build(master.read(file.read_bytes()).listing, date, listed, settings.excluded)
        document = found.document()
    else:
        source, note = asyncio.run(master.fetch(date, again=refresh))
        today = kept.take(date, source.listing, listed, settings.excluded)
        found = _with_history(today.universe)
        document = found.document() | {"changes": [asdict(c) for c in today.changes]}
    document["note"] = note
    if json:
        show(document)
        return
    counts = document["counts"]
    print(f"{found.day}: {counts['stocks']} F&O stocks, {counts['futures']} futures, {counts['options']:,} options; "
          f"left out: {', '.join(found.indices)}")
    for stock in found.stocks.values():
        if stock.status != work.ACTIVE:
            print(f"  {stock.symbol:<12} {stock.status}: {stock.reason}")
    for (kind, what), count in sorted(Counter((c["kind"], c["what"]) for c in document.get("changes", [])).items()):
        print(f"  {count:,} {what}{'s' if count > 1 else ''} {kind}")
    if note:
        print(f"note: {note}")


def _with_history(found: work.Universe) -> work.Universe:
    """Liquidity by what `history sync` knows of the last 20 sessions; an engine adds open interest and spread."""
    from engine.market import history

    usual = history.turnovers(found.day)
    return work.with_liquidity(found, {s.symbol: work.Turnover(usual.get(s.key, math.nan)) for s in found.stocks.values()})


@app.command()
def diff(old: Annotated[str, typer.Argument(help="the earlier day, or its file")],
         new: Annotated[str, typer.Argument(help="the later one")],
         days: Annotated[tuple[str, str] | None, typer.Option(
             metavar="OLD NEW", help="their days (YYYY-MM-DD), where the files' names do not say them")] = None,
         json: Json = False) -> None:
    """What changed between two days: each a kept day (YYYY-MM-DD) or an instrument file."""
    excluded = configuration.load().excluded
    on = [_day_of(text, given, "--days OLD NEW") for text, given in zip((old, new), days or (None, None), strict=True)]
    if on[0] > on[1]:
        raise typer.BadParameter(f"{on[0]} is after {on[1]}: the earlier day comes first")
    a, b = (work.build(master.read(_path(text).read_bytes()).listing, day, None, excluded)
            for text, day in zip((old, new), on, strict=True))
    changes = work.diff(a, b)
    if json:
        show({"old": a.day.isoformat(), "new": b.day.isoformat(), "changes": [asdict(c) | {"blocking": c.is_blocking}
                                                                               for c in changes]})
        return
    for change in changes:
        if change.what != "option" or change.is_blocking:
            told = f"{change.field} {change.was} -> {change.now}" if change.kind == "changed" else (change.now or change.was)
            print(f"{'!' if change.is_blocking else ' '} {change.symbol:<12} {change.what:<7} {change.kind:<9} {told}")
    options = Counter(c.kind for c in changes if c.what == "option")
    print(", ".join(f"{count:,} options {kind}" for kind, count in sorted(options.items())) or "no option changed")


def _path(text: str) -> Path:
    path = Path(text) if not _DATE.fullmatch(text) else master.kept(dt.date.fromisoformat(text))
    if not path.exists():
        kept = sorted(p.name for p in master.folder().glob("NSE.*.gz"))
        raise Failed(f"{path}: no such instrument file; kept are {', '.join(kept) or 'none'}")
    return path


@app.command()
def acknowledge(symbols: Annotated[list[str], typer.Argument(help="names whose new terms are right")]) -> None:
    """Let names trade again whose lot, tick, freeze quantity or expiry changed: you have looked at the new terms."""
    kept.acknowledge([s.upper() for s in symbols], dt.datetime.now(IST).date())
    print(f"{', '.join(s.upper() for s in symbols)}: may trade from the next start on")
