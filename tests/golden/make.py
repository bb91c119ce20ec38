"""`python -m tests.golden.make`: makes the goldens anew from today's code.

`decisions` (the default) replays the stored inputs; `all` makes the inputs and the day's requests too. Look at what changed before
it is committed: each changed line is a decision.
"""
import argparse
import tempfile
from pathlib import Path

from _ext.core.records import FIRST_DECISION
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.trail.reader import Reader
from tests.golden import canonical, scenario, stored
from tests.golden.models import WEIGHTS, build

HERE = Path(__file__).parent
INPUTS, DECISIONS, REQUESTS = HERE / "inputs.jsonl.xz", HERE / "decisions.txt", HERE / "requests.txt"


def decisions(folder: Path) -> list[str]:
    """Lines of what today's core decides on the stored inputs; models are built in `folder`."""
    scorers = {name: build(name, folder) for name in WEIGHTS}
    trail = KeepingSink(tuple(canonical.WRITERS))
    core = None
    for kind, now, payload in stored.records(INPUTS, {name: s.sha256 for name, s in scorers.items()}):
        if core is None:
            core = Core(trail, 64, 256)
            core.models.update({s.sha256: s for s in scorers.values()})
        core.feed(kind, now, payload)
        core.take_intents()
    keys = [core.instrument(i)["key"].rstrip(b"\0").decode() for i in range(core.keys.size)]
    return list(canonical.lines(trail.kept, keys))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description="Makes the goldens anew.")
    parser.add_argument("what", nargs="?", choices=("decisions", "requests", "all"), default="decisions")
    what = parser.parse_args().what
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if what == "all":
            morning = scenario.Morning(folder / "morning")
            morning.run()
            stored.store(INPUTS, ((r[0], r[2], r[3]) for r in Reader(morning.folder) if r[0] < FIRST_DECISION),
                         {morning.a.sha256: "model a", morning.b.sha256: "model b"})
        if what in ("all", "requests"):
            REQUESTS.write_text("\n".join(scenario.requests_of_a_day(folder / "day")) + "\n")
        if what in ("all", "decisions"):
            DECISIONS.write_text(canonical.HEAD + "\n".join(decisions(folder)) + "\n")


if __name__ == "__main__":
    main()
