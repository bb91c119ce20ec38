"""Headers made of tables that stand elsewhere, so that each thing is said once; `setup.py` runs this before anything is compiled.

`_ext/core/features.pxi`: numbers of the features, from DESCRIBED in `_ext/signals/features.pyx`.
`_ext/trade/limits.pxd`: the struct of limits the core decides by, from `Risk` and `Session` in `engine/config/limits.py`.
`engine/watch/web/src/frame_layout.js`: the packed frame for the page's reader, from `_ext/quotes.pyx`.
"""
import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
MADE = "made by tools/generate.py, not to be edited"
C_TYPES = {"share": ("double", "share"), "x": ("double", "times"), "s": ("int64_t", "ns"), "rupees": ("int64_t", "paise")}
"""Unit of a setting -> type and unit in the core; all others are counts, minutes, days or places in a list of choices."""


def features(source: str) -> str:
    """The enum of features, from the source of features.pyx."""
    table = source[source.index("DESCRIBED = (") + len("DESCRIBED = "):]
    names = [row[0] for row in ast.literal_eval(table[:table.index("\n)\n") + 2])]
    rows = [f"    F_{name.upper()} = {number}" for number, name in enumerate(names)]
    return "\n".join([f"# {MADE}: numbers of the features in signals/features.pyx", "cdef enum:", *rows,
                      f"    N_FEATURES = {len(names)}", ""])


def limits(source: str) -> str:
    """The struct of limits, from the source of the configuration's limits."""
    rows = []
    for section in ast.parse(source).body:
        if isinstance(section, ast.ClassDef) and section.name in ("Risk", "Session"):
            for line in section.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Call):
                    rows += _row(line)
    rows.sort(key=lambda row: {"double": 0, "int64_t": 1, "int32_t": 2}[row[0]])
    body = [f"    {kind} {name:<24}# {says}"[:132] for kind, name, says in rows]
    return "\n".join([f"# {MADE}: the limits of engine/config/limits.py as the core takes them.",
                      "from libc.stdint cimport int32_t, int64_t", "", "ctypedef struct Limits:", *body, ""])


def _row(line: ast.AnnAssign) -> list[tuple[str, str, str]]:
    """(C type, name, what it is) of one setting; nothing for one the core does not take."""
    assert isinstance(line.target, ast.Name) and isinstance(line.value, ast.Call)
    unit, says = (ast.literal_eval(word) for word in line.value.args[1:3])
    if any(word.arg == "core" and not ast.literal_eval(word.value) for word in line.value.keywords):
        return []
    name, (kind, core_unit) = line.target.id, C_TYPES.get(unit, ("int32_t", unit))
    return [(kind, name.removesuffix("_s") if unit == "s" else name, f"{core_unit}: {says}")]


def frame_layout(source: str) -> str:
    """Offset and type of each field of a packed frame, and the bit of each mark, for JavaScript."""
    types = {"<u4": "Uint32", "<u2": "Uint16", "u1": "Uint8", "<i8": "BigInt64", "<i4": "Int32", "<i2": "Int16"}
    out = [f"// {MADE}, from _ext/quotes.pyx: little endian, [offset, type] of each field."]
    for name, table in (("HEADER", "FRAME_HEAD"), ("ROW", "FRAME_ROW")):
        text = source[source.index(f"{table} = [") + len(f"{table} = "):]
        at, fields = 0, []
        for field, kind in ast.literal_eval(text[:text.index("\n]\n") + 2]):
            if not field.startswith("pad"):
                fields.append(f"    {field}: [{at}, '{types[kind]}'],")
            at += int(kind[-1])
        out += [f"export const {name} = {{", f"  size: {at},", "  fields: {", *fields, "  },", "};"]
    text = source[source.index("MARKS = (") + len("MARKS = "):]
    marks = ast.literal_eval(text[:text.index(")\n") + 1])
    out += ["export const MARKS = {", *(f"  {mark}: {1 << at}," for at, mark in enumerate(marks)), "};"]
    return "\n".join([*out, ""])


def write() -> None:
    """Writes each header where it differs: an unchanged one makes nothing be compiled again."""
    for target, text in ((ROOT / "_ext/core/features.pxi", features((ROOT / "_ext/signals/features.pyx").read_text())),
                         (ROOT / "_ext/trade/limits.pxd", limits((ROOT / "engine/config/limits.py").read_text())),
                         (ROOT / "engine/watch/web/src/frame_layout.js", frame_layout((ROOT / "_ext/quotes.pyx").read_text()))):
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


if __name__ == "__main__":
    write()
