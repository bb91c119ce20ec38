"""Learning the noise filter."""
import datetime as dt
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.model import _store
from engine.cli.options import Failed, Json, Run, day_of, fail_where, run_of, show
from engine.trail.checked import survey

Seed = Annotated[int, typer.Option(min=0, help="number from which chance is drawn: one seed, one result")]
app = typer.Typer(invoke_without_command=True, help="Learn the noise filter, make its data, judge it.")
OPTIONS = 6
"""Calls and puts of each stock in the days that contracts are judged on."""
Data = Annotated[Path, typer.Option(help="folder of recorded ticks or bars (Parquet), or of a run")]


def _with_libraries(work: Any) -> Any:
    """Runs what needs the heavy libraries; says how to get them where they are missing."""
    try:
        return work()
    except ImportError as error:
        extra = "sequence" if error.name == "torch" else "train"
        raise Failed(f"{error.name} is missing, which running does not need: `make install-{extra}` brings it") from None


@app.callback()
def train(context: typer.Context, seed: Seed = 7, days: Annotated[int, typer.Option(min=2, help="days to generate")] = 12,
          names: Annotated[int, typer.Option(min=2, max=208, help="stocks of each day")] = 40,
          minutes: Annotated[int, typer.Option(min=60, max=375, help="length of each day")] = 375,
          out: Annotated[Path | None, typer.Option(help="model folder; by default the one in force")] = None,
          learn_from: Annotated[Path | None, typer.Option(help="a file of `train dataset`, instead of the generator")] = None,
          recorded: Annotated[Path | None, typer.Option(help="a recorded session of the feed to judge by as well")] = None,
          sequence: Annotated[bool, typer.Option(help="compare a net over the minutes before (extra `sequence`)")] = False,
          promote: Annotated[bool, typer.Option(help="let it trade at once")] = False, json: Json = False) -> None:
    """Learn the noise filter from generated days (or from a file of `train dataset`), judge it on generated days it has not seen,
    write its card and report."""
    if context.invoked_subcommand is not None:
        return
    from engine.signals import models

    folder = out if out is not None else Path(configuration.load().models)
    card = _with_libraries(lambda: _train(folder, seed, days, names, minutes, learn_from, recorded, sequence, json))
    if promote:
        models.promote(folder, card["sha256"][:16])
    if json:
        show(card)
    else:
        print(f"{card['sha256'][:16]}.onnx: {sum(card['rows'].values()):,} rows; card and report in {folder}"
              + ("; it trades" if promote else "; `python -m engine model promote` lets it trade"))


def _train(folder: Path, seed: int, days: int, names: int, minutes: int, learn_from: Path | None, recorded: Path | None,
           sequence: bool, quiet: bool) -> dict[str, Any]:
    from engine.lab import evaluate, report
    from engine.lab import train as work
    from engine.lab.dataset import generated, generated_day, joined, of_ticks, read
    from engine.signals.models import find

    def tell(what: str) -> None:
        if not quiet:
            print(what, flush=True)

    about: dict[str, Any] = {"source": "generator", "seed": seed, "days": days, "names": names, "minutes": minutes}
    if learn_from is None:
        tell(f"{days} days of {names} names are generated and looked at")
        data = work.learning_data(seed, days, names, minutes)
    else:
        data = read(learn_from)
        about = {"source": learn_from.name, "seed": seed, "days": len(set(data.day)), "names": len(set(data.name))}
    done = work.train(data, seed, about)
    card, path = done.card, work.write(folder, done.file, done.card)
    if sequence:
        from engine.lab.sequence import compare as nets

        tell("a net over the minutes before each candidate is learned, by the same folds")
        card["sequence"] = nets(data, done.rows, done.scores, seed)
    scores = evaluate.of_scorer(find(folder, path.stem))
    tell("instruments are left out in turn")
    left_out = work.in_turn(data, done, seed)
    card["in_turn"] = evaluate.by_sort(data, ~evaluate.guarded(data.second) & (left_out >= work.THRESHOLD))
    tell(f"{path.name} is judged on days and instruments it has not seen")
    unseen = joined(generated(seed + 5000, max(days // 4, 1), names, evaluate.KINDS, level, own=0.3, every_s=work.EVERY_S,
                              minutes=minutes, first=20 + 10 * k, thin=work.THIN) for k, level in enumerate((0.5, 0.6)))
    card["unseen"] = evaluate.judged(unseen, scores, work.THRESHOLD)
    contracts = generated(seed + 7000, max(days // 3, 1), max(names // 4, 1), evaluate.KINDS, 0.5, every_s=work.EVERY_S,
                          minutes=minutes, first=40, thin=work.THIN, contracts=OPTIONS)
    card["contracts"] = evaluate.by_sort(contracts, evaluate.verdicts(contracts, scores, work.THRESHOLD)["next_update"]["filter"])
    day, _ = generated_day(seed + 6000, 40, names, minutes=minutes)
    card["recall"] = evaluate.recall(day, "generator", seed)
    if recorded is not None:
        tell(f"{recorded}: artefacts and spikes are put into it")
        card["recorded"] = evaluate.on_recording(recorded, scores, work.THRESHOLD)
    examples = of_ticks(day, "generator", seed, evaluate.KINDS, work.EVERY_S, 0.5)
    card["command"] = f"python -m engine train --seed {seed} " + (
        f"--learn-from {learn_from.name}" if learn_from is not None else f"--days {days} --names {names}"
        + (f" --minutes {minutes}" if minutes != 375 else ""))
    work.write(folder, done.file, card)
    report.write(folder, card, report.page(card, done.rows, done.scores, unseen, scores, day, examples))
    return card


@app.command()
def dataset(source: Annotated[str, typer.Option(help="generator, ticks or bars")],
            out: Annotated[Path, typer.Argument(help="file to write, Parquet")],
            data: Annotated[Path | None, typer.Option(help="folder of ticks or bars, or a run's; without it, the store")] = None,
            run_dir: Run = None, day: Annotated[str, typer.Option(help="of several days of ticks: YYYY-MM-DD")] = "",
            seed: Seed = 7, days: Annotated[int, typer.Option(min=1, help="days to generate")] = 2,
            names: Annotated[int, typer.Option(min=1, max=208, help="stocks of each day")] = 40,
            level: Annotated[float, typer.Option(min=0.1, max=1, help="strength from which an update is a candidate")] = 0.5,
            planted: Annotated[bool, typer.Option(help="put artefacts and genuine spikes into the ticks")] = True,
            json: Json = False) -> None:
    """Every candidate with its features and labels, as Parquet: made by the path that trades, from the generator, from files, from
    a run's journal or from the store (that of --run-dir, or the ClickHouse of engine.toml)."""
    document = _with_libraries(lambda: _dataset(source, out, data, run_dir, day_of(day), seed, days, names, level, planted))
    show(document) if json else print(f"{document['rows']:,} candidates in {out}: " + ", ".join(
        f"{k} {v}" for k, v in document["kinds"].items()))


def _dataset(source: str, out: Path, data: Path | None, run_dir: Path | None, day: dt.date | None, seed: int, days: int, names: int,
             level: float, planted: bool) -> dict[str, Any]:
    from engine.lab import dataset as work
    from engine.lab import series, stored, train
    from engine.sim import recorded

    kinds = train.PLANTED if planted else ()
    if source == "generator":
        found = work.generated(seed, days, names, kinds, level, every_s=train.EVERY_S)
    elif source == "ticks":
        if data is None:
            number = _number(run_dir)
            ticks, kind = _store(run_dir, lambda client, among: stored.ticks(client, day, among, number)), "store"
        elif (data / "journal").is_dir():
            fail_where(survey(data))
            ticks, kind = recorded.from_run(data / "journal"), "live"
        else:
            ticks = recorded.load(data, day)
            for note in ticks.notes:
                _note(note)
            kind = "upstox" if ticks.has_book else "ticks"
        found = work.of_ticks(ticks, kind, seed if planted else None, kinds, train.EVERY_S, level)
    elif source == "bars":
        specs, bars = _store(run_dir, stored.bars) if data is None else series.bars_of_folder(data, tell=_note)
        found = series.of_bars(specs, bars, level)
    else:
        raise typer.BadParameter(f"--source {source}: generator, ticks or bars")
    work.write(found, out)
    return {"rows": len(found), "out": str(out), "kinds": {str(k): int((found.kind == k).sum()) for k in sorted(set(found.kind))}}


def _number(run_dir: Path | None) -> int:
    """Of a run that was named, among others in its database; 0: whichever saw most."""
    from engine.store.client import number_of

    run = run_of(run_dir)
    return number_of(run) if run_dir is not None and run.home != run.path else 0


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _days(data: Path) -> list[dt.date]:
    """Days of a folder of ticks; what is wrong with it is said where there are none."""
    from engine.sim import recorded

    if not (days := recorded.days_of(data)):
        recorded.load(data)
    return days


@app.command()
def evaluate(data: Data, model: Annotated[str, typer.Option(help="by default the one that trades")] = "",
             seeds: Annotated[int, typer.Option(min=1, help="times artefacts are planted anew")] = 40, seed: Seed = 1,
             json: Json = False) -> None:
    """Judge a model on a recorded session: artefacts and spikes are planted into it, at seeds of yours."""
    from engine.signals import models

    folder = Path(configuration.load().models)

    def work() -> dict[str, Any]:
        from engine.lab import evaluate as judge
        from engine.lab.train import THRESHOLD

        scorer = models.find(folder, model) if model else models.active(folder)
        if scorer is None:
            raise Failed("no model trades: `python -m engine train --promote`")
        return judge.on_recording(data, judge.of_scorer(scorer), THRESHOLD, seeds=seeds, seed=seed)

    document = _with_libraries(work)
    if json:
        show(document)
        return
    from engine.lab.report import artefact_lines, sort_lines

    print("\n".join([*artefact_lines(document["times"]), "", *sort_lines({"recorded": document})]))


@app.command()
def recall(data: Data, day: Annotated[str, typer.Option(help="of several: YYYY-MM-DD; by default the first")] = "", seed: Seed = 1,
           json: Json = False) -> None:
    """Plant sustained spikes into recorded ticks and count which the detector finds, by size, volume and ramp."""
    def work() -> list[dict[str, Any]]:
        from engine.lab import evaluate as judge
        from engine.sim import recorded

        ticks = recorded.load(data, day_of(day))
        return judge.recall(ticks, "upstox" if ticks.has_book else "ticks", seed)

    rows = _with_libraries(work)
    if json:
        show(rows)
        return
    print("size s1m  volume  ramp s  planted  found at 0.5  at 0.6")
    for row in rows:
        print(f"{row['size']:>8g} {row['volume']:>7g} {row['ramp_s']:>7g} {row['planted']:>8} {row['found_at_0.5']:>13} "
              f"{row['found_at_0.6']:>7}")


@app.command()
def outcomes(data: Data, source: Annotated[str, typer.Option(help="ticks (one-second) or bars")] = "bars",
             names: Annotated[int, typer.Option(help="only so many; 0: all")] = 0, seed: Seed = 7, json: Json = False) -> None:
    """What really came of candidates on later days: activity, direction, money. Nothing of the data is kept."""
    def work() -> dict[str, Any]:
        from engine.lab import outcomes as study
        from engine.lab import series

        if source not in ("bars", "ticks"):
            raise typer.BadParameter(f"--source {source}: ticks or bars")
        found = series.of_bars(*series.bars_of_folder(data, names, _note)) if source == "bars" else series.of_second_ticks(
            data, _days(data))
        return study.study(found, source, seed)

    document = _with_libraries(work)
    if json:
        show(document)
        return
    from engine.lab.outcomes import lines

    print("\n".join(lines(document)))
