"""`python -m tests.mutants`: mistakes put into the product one at a time, each of which a test without recordings must find.

The lists beside this file (one a stage) hold, for each source file, the tests that know it and pairs of texts: `old`, which occurs
once in the file, and `new`. A survivor of its own tests meets the whole suite. `--draw 40 --seed 7` makes mutants nobody chose.
"""
import argparse
import hashlib
import os
import queue
import random
import subprocess
import sys
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.draw import drawn
from tests.mutants.scratch import KILLED, NO_TESTS, ROOT, SURVIVED, UNBUILT, Scratch

HERE = Path(__file__).parent
NAMED_S, ALL_S = 120.0, 1500.0
ALL = ["tests", "--ignore=tests/system"]
"""What a survivor meets besides; the tests under system start whole processes and look at other things."""


class ListError(ValueError):
    """An entry of the lists does not fit the source."""


@dataclass(frozen=True)
class Mutant:
    file: str
    text: str                  # the whole file, mutated
    words: str
    tests: tuple[str, ...]


def tables() -> dict[str, dict[str, list]]:
    """File -> its table, of all lists."""
    out: dict[str, dict[str, list]] = {}
    for path in sorted(HERE.glob("*.toml")):
        for file, table in tomllib.loads(path.read_text()).items():
            if file in out:
                raise ListError(f"{path.name}: {file} stands in another list too")
            out[file] = table
    return out


def listed() -> list[Mutant]:
    """Every mutant of the lists; ListError names the first whose old text is not there exactly once."""
    out = []
    for file, table in tables().items():
        source = (ROOT / file).read_text()
        for old, new in table.get("mutants", []):
            if source.count(old) != 1:
                raise ListError(f"{file} has {source.count(old)} times, not once: {old!r}; write it anew for today's source")
            words = " -> ".join(" / ".join(line.strip() for line in text.strip().splitlines()) for text in (old, new))
            out.append(Mutant(file, source.replace(old, new), words, tuple(table["tests"])))
    return out


def chosen(mutants: list[Mutant], options: argparse.Namespace) -> list[Mutant]:
    if options.draw:
        known = {file: tuple(table["tests"]) for file, table in tables().items()}
        files = sorted(f for f in known if not options.only or options.only in f)
        return [Mutant(file, text, words, known[file]) for file, text, words in drawn(ROOT, files, options.draw, options.seed)]
    if options.only:
        mutants = [m for m in mutants if options.only in m.file or options.only in m.words]
    if options.by_commit:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        mutants = random.Random(hashlib.sha256(head.encode()).digest()).sample(mutants, min(options.by_commit, len(mutants)))
    return mutants


def unmutated(mutants: list[Mutant]) -> list[list[str]]:
    """What must pass before anything is mutated: all named tests at once, and apart from them those named with options."""
    groups = {m.tests for m in mutants}
    plain = sorted({test for tests in groups if not any(t.startswith("-") for t in tests) for test in tests})
    return [plain] * bool(plain) + [list(tests) for tests in sorted(groups) if any(t.startswith("-") for t in tests)]


def judge_all(mutants: list[Mutant], options: argparse.Namespace) -> Counter:
    """Judges them on as many trees as there are jobs; prints each verdict as it comes."""
    trees: queue.Queue[Scratch] = queue.Queue()
    for k in range(options.jobs):
        trees.put(Scratch(ROOT / "build" / "mutants" / f"{options.tag}{k}"))
    tree = trees.get()
    for tests in unmutated(mutants):
        verdict, evidence = tree.run(tests, ALL_S)
        if verdict != SURVIVED:
            raise ListError(f"the tests do not pass on the unmutated copy: {evidence}")
    trees.put(tree)

    def judge(mutant: Mutant) -> str:
        tree, began = trees.get(), time.monotonic()
        try:
            verdict, evidence = tree.judge(mutant.file, mutant.text, list(mutant.tests), NAMED_S)
            if verdict == SURVIVED and not options.named_only:
                verdict, evidence = tree.judge(mutant.file, mutant.text, ALL, ALL_S)
        finally:
            trees.put(tree)
        if verdict != KILLED or options.verbose:
            print(f"{verdict:10} {time.monotonic() - began:5.1f} s  {mutant.file}: {mutant.words}  {evidence}", flush=True)
        return verdict

    with ThreadPoolExecutor(options.jobs) as pool:
        return Counter(pool.map(judge, mutants))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Judges the tests by mistakes they must find.")
    parser.add_argument("--by-commit", type=int, metavar="N", help="N mutants of the lists, chosen by the commit's hash")
    parser.add_argument("--only", metavar="WORD", help="those whose file or text has it")
    parser.add_argument("--draw", type=int, metavar="N", help="N mutants drawn by machine instead, some of which change nothing")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--named-only", action="store_true", help="survivors do not meet the whole suite")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tag", default="", help="prefix of the scratch folders, for two at once")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        mutants = chosen(listed() if not options.draw else [], options)
        counts = judge_all(mutants, options)
    except ListError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(mutants)} mutants in {time.monotonic() - began:.0f} s: " + ", ".join(
        f"{counts[v]} {v}" for v in (KILLED, SURVIVED, UNBUILT, NO_TESTS) if counts[v]))
    return 1 if counts[KILLED] < len(mutants) - (counts[UNBUILT] if options.draw else 0) else 0


if __name__ == "__main__":
    sys.exit(main())
