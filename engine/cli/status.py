"""The vital signs of a run."""
import typer

from engine.cli.options import Failed, Json, Run, run_of, show
from engine.trail.checked import JournalError, survey
from engine.trail.rundir import RunDir

app = typer.Typer(add_completion=False)


@app.command()
def status(run_dir: Run = None, json: Json = False) -> None:
    """Vital signs of a run, and all that is wrong with it."""
    from engine.trail.signs import about_engine, is_running, summary, troubles, vital_signs

    folder = run_of(run_dir)
    signs, is_alive = vital_signs(folder), is_running(folder)
    wrong = troubles(folder, *signs)
    if not is_alive and (damage := _damage(folder)) and damage not in wrong:
        wrong.append(damage)
    document = summary(folder, *signs, wrong) | {"running": is_alive}
    if about_engine(folder).get("source") == "upstox":
        from engine.run.rollout import RolloutError, load

        try:
            document["rollout"] = load().words
        except RolloutError as error:                      # the run's vital signs are wanted all the more
            document["rollout"] = str(error)
    if json:
        show(document)
    else:
        for name, value in document.items():
            if name != "troubles":
                print(f"{name:>16}  {value}")
        for text in wrong:
            print(f"TROUBLE: {text}")
    if wrong:
        raise Failed(wrong[0])


def _damage(folder: RunDir) -> str | None:
    """What is missing from a journal; None where there is none, as of a run that is just beginning."""
    try:
        return survey(folder.path)
    except JournalError:
        return None
