"""Mutants nobody chose: every small mistake of these kinds that can be made in a source file, drawn from a seed.

Comparisons moved by one or turned round, signs, numbers, joined and dropped conditions, swapped fields, lines left out.
"""
import random
import re
from collections.abc import Iterator
from pathlib import Path

SWAPS = [
    (r" < ", " <= "), (r" <= ", " < "), (r" > ", " >= "), (r" >= ", " > "), (r" == ", " != "), (r" != ", " == "), (r" > ", " < "),
    (r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "), (r" \+= ", " -= "), (r" -= ", " += "),
    (r" and ", " or "), (r" or ", " and "), (r"\bnot ", ""), (r"\bTrue\b", "False"), (r"\bFalse\b", "True"),
    (r"\bmin\(", "max("), (r"\bmax\(", "min("), (r"\bfmin\(", "fmax("), (r"\bfmax\(", "fmin("),
    (r"\.bid\b", ".ask"), (r"\.ask\b", ".bid"), (r"\.high\b", ".low"), (r"\.low\b", ".high"), (r"\bside\b", "-side"),
    (r"\bsign \* ", ""), (r" and [^:()]+(?=:$)", ""), (r" or [^:()]+(?=:$)", ""), (r"\bif (?=.* and )[^:()]+? and ", "if "),
    (r"\b20\b", "50"), (r"\b50\b", "20"), (r"\b1000\b", "100"), (r"\b60000\b", "6000"),
]
NUMBER = re.compile(r"(?<![\w.\"'#\[])(\d+\.\d+|\d+)(?![\w.\"'])")
LEFT_OUT = re.compile(r"^\s+(?:[\w.\[\]]+ (?:[+*/|-]?=) .+|continue|break|self\.[\w.]+\(.*\))$")
SKIPPED = re.compile(r"^\s*(#|\"\"\"|import |from |cimport |cdef |def |class |@|raise |assert |print\(|ctypedef |cpdef )"
                     r"|\"\"\"|f\"|f'")


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(number, line) of what is executed: no docstrings, declarations, imports, texts of errors."""
    inside = False
    for number, line in enumerate(text.splitlines()):
        if line.count('"""') % 2:
            inside = not inside
            continue
        code = line.split("  #")[0]
        if inside or not code.strip() or SKIPPED.search(code):
            continue
        yield number, code


def mutants_of(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, line, mutated line)."""
    for number, line in lines_of(text):
        for pattern, new in SWAPS:
            for found in re.finditer(pattern, line):
                yield number, line, line[:found.start()] + new + line[found.end():]
        for found in NUMBER.finditer(line):
            word = found.group(1)
            for new in ((str(int(word) + 1), "0" if word != "0" else "2") if word.isdigit() else (str(float(word) * 1.25 or 0.5),)):
                yield number, line, line[:found.start()] + new + line[found.end():]
        if LEFT_OUT.match(line) and line.count("(") == line.count(")") and line.count("[") == line.count("]"):
            yield number, line, line[:len(line) - len(line.lstrip())] + "pass"


def drawn(root: Path, files: list[str], count: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """`count` mutants: (file, its mutated text, the change in words)."""
    chance = random.Random(seed)
    every = {file: list(mutants_of((root / file).read_text())) for file in files}
    for _ in range(count):
        file = chance.choice(files)
        number, line, new = chance.choice(every[file])
        lines = (root / file).read_text().splitlines(keepends=True)
        lines[number] = lines[number].replace(line, new, 1)
        yield file, "".join(lines), f"line {number + 1}: {line.strip()}  ->  {new.strip()}"
