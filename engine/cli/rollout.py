"""Going live in steps: where we are, and the next step."""
import sys
from pathlib import Path

import typer

from engine import config as configuration
from engine.cli.options import Failed, Json, show

app = typer.Typer(invoke_without_command=True)
RUNS = Path("runs")


@app.callback()
def rollout(context: typer.Context, json: Json = False) -> None:
    """Going live in steps: paper days, one name with half a per cent of the account, more. Judges the days that are over by their
    own reports, and says where we are."""
    if context.invoked_subcommand is not None:
        return
    from engine.backtest.steps import judge
    from engine.run.rollout import add, document, load

    state = add(judge(load(), RUNS.glob("*"), configuration.load(), lambda text: print(text, file=sys.stderr, flush=True)))
    if json:
        show(document(state))
        return
    for day in state.days[-20:]:
        print(f"{day.day}  {f'step {day.step}' if day.step else 'paper':<7} {f'NOT GOOD: {day.why}' if day.why else 'good'}")
    print(state.words)


@app.command()
def advance() -> None:
    """Take the next step, where its rule holds; asks for a typed word."""
    from engine.run.rollout import STEPS, load, save

    was = load()
    state = was.advanced()
    word = f"STEP {state.step}"
    said = f"From the next live run on: {STEPS[state.step - 1].words}, with real money. Type {word} to go on"
    if not sys.stdin.isatty() or typer.prompt(said) != word:
        raise Failed("not confirmed; the step stays as it was")
    if load() != was:
        raise Failed("a day was judged or a step taken meanwhile; the step stays as that left it")
    save(state)
    print(state.words)


@app.command()
def back() -> None:
    """Go a step back."""
    from engine.run.rollout import load, save

    state = load().back()
    save(state)
    print(state.words)
