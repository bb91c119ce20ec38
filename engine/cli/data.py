"""Data in and out: other people's files as day files, and what a run has kept as files for others."""
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.cli.options import Failed, Json, Run, day_of, fail_where, plainly, run_of, show

app = typer.Typer(no_args_is_help=True)
Zone = Literal["Asia/Kolkata", "UTC"]
TABLES = {"ticks": "ticks", "bars": "bars_1m", "trades": "trades_view", "orders": "orders_view", "signals": "signals_view",
          "positions": "positions_view", "gaps": "gaps_view"}
"""What can be written out, and the table or view it is read from."""
TIME = {"ticks": "exch_ts", "bars": "bar_ts"}
"""Their column of time, where it is not `time`."""


@app.callback()
def data() -> None:
    """Bring candles and ticks of other tools in as day files; write ticks, bars and trades out."""


@app.command("import")
def import_(paths: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, or folders of them", metavar="PATH...")],
            out: Annotated[Path, typer.Option(help="folder for the day files")] = Path("days"),
            zone: Annotated[Zone | None, typer.Option(help="of times that do not say theirs")] = None,
            prices: Annotated[Literal["rupees", "paise"], typer.Option(help="unit of the prices")] = "rupees",
            volume: Annotated[Literal["so-far", "each"] | None, typer.Option(
                help="of ticks: whether column `volume` is the day's so far or each trade's")] = None,
            symbol: Annotated[str, typer.Option(help="whose rows they are, where neither file nor folder says it")] = "",
            json: Json = False) -> None:
    """One file a day, all instruments in it, of candles of a minute and of ticks in the usual layouts. What a file leaves open is
    asked for, not guessed; what was understood is said."""
    from engine.market.layouts import Asked
    from engine.sim.days import bring_in

    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        print(f"note: {text}", file=sys.stderr)

    try:
        made = bring_in(paths, out, Asked(zone or "", prices, volume or "", symbol), tell)
    except OSError as error:
        raise Failed(f"{out}: {error.strerror}: choose another folder with --out") from None
    if json:
        show({"days": made, "notes": said})
        return
    for row in made:
        print(f"{row['file']}: {row['instruments']} instruments, {row['rows']:,} {row['kind']}, {row['bytes'] / 1e6:.1f} MB")
    print(f"{len(made)} day files in {out}")


@app.command("show")
def show_(path: Annotated[Path, typer.Argument(help="a day file")], json: Json = False) -> None:
    """What a day file has, and what it was made of."""
    from engine.feed.dayfile import DayFile

    day = DayFile(path)
    document: dict[str, Any] = {
        "day": day.day.isoformat(), "kind": day.kind, "rows": day.rows, "instruments": [s.symbol for s in day.specs],
        "columns": list(day.columns), "sources": [source.name for source in day.sources], "notes": day.notes}
    if json:
        show(document)
        return
    names = document["instruments"]
    print(f"{document['day']}: {day.rows:,} {day.kind} of {len(names)} instruments: {', '.join(names[:12])}"
          + (", ..." if len(names) > 12 else ""))
    print(f"columns: {', '.join(day.columns)}")
    print(f"made of: {', '.join(document['sources'])}")
    for note in day.notes:
        print(f"note: {note}")


@app.command()
def export(what: Annotated[Literal["ticks", "bars", "trades", "orders", "signals", "positions", "gaps"],
                           typer.Argument(help="what to write out")],
           out: Annotated[Path, typer.Option(help="a file that ends in .parquet or .csv")],
           run_dir: Run = None, symbol: Annotated[str, typer.Option(help="of one symbol")] = "",
           day: Annotated[str, typer.Option(help="of one day: YYYY-MM-DD")] = "",
           file: Annotated[Path | None, typer.Option("--data", help="a day file, instead of a run")] = None,
           json: Json = False) -> None:
    """Write what a run has kept, or a day file, as Parquet or CSV: times with India's zone, prices in rupees beside paise."""
    if out.suffix.lower() not in (".parquet", ".csv"):
        raise typer.BadParameter(f"--out {out}: a name that ends in .parquet or .csv is wanted")
    wanted = day_of(day)
    if file is not None and (wanted is not None or run_dir is not None):
        raise typer.BadParameter("--data names a day file, which has one day and no run: leave --day and --run-dir out")
    rows = _of_file(file, what, out, symbol) if file is not None else _of_run(run_dir, what, out, symbol, wanted)
    show({"file": str(out), "rows": rows}) if json else print(f"{rows:,} {what} in {out}")


def _of_file(file: Path, what: str, out: Path, symbol: str) -> int:
    from engine.sim.day_table import table_of

    frame = table_of(file, what, symbol)
    _write(frame, out)
    return len(frame)


def _of_run(run_dir: Path | None, what: str, out: Path, symbol: str, day: Any) -> int:
    """Rows written of the run; its journal is judged afterwards, as for `query`."""
    import polars as pl

    from engine import config as configuration
    from engine.store.client import client_of, number_of
    from engine.trail.checked import survey

    folder = run_of(run_dir)
    time, given = TIME.get(what, "time"), dict[str, Any](run=number_of(folder))
    text = f"SELECT * FROM {TABLES[what]} WHERE run = {{run:UInt32}}"
    if symbol:
        text += (" AND inst IN (SELECT inst FROM instruments WHERE run = {run:UInt32} AND symbol = {symbol:String})"
                 if what == "ticks" else " AND symbol = {symbol:String}")
        given |= {"symbol": symbol.upper()}
    if day is not None:
        text += f" AND toDate({time}) = {{day:Date}}"
        given |= {"day": day}
    with client_of(configuration.load(), folder) as client:
        with plainly():
            frame = pl.DataFrame(client.query_arrow(text + f" ORDER BY {time}", parameters=given))
    _write(frame, out)
    fail_where(survey(folder.path))
    return len(frame)


def _plain(frame: Any) -> Any:
    """What is of several values in one cell as JSON, which CSV has no other way to say."""
    import orjson
    import polars as pl

    return frame.with_columns(pl.Series(name, [orjson.dumps(value).decode() for value in frame[name].to_list()], pl.String)
                              for name, kind in frame.schema.items() if kind.is_nested())


def _write(frame: Any, out: Path) -> None:
    try:
        if out.suffix.lower() == ".csv":
            _plain(frame).write_csv(out)
        else:
            frame.write_parquet(out)
    except OSError as error:
        raise Failed(f"{out}: {error.strerror or 'cannot be written'}: choose another file with --out") from None
