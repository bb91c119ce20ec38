"""The report's file: template, script, style and data put together, and written so that a reader never sees half of one."""
import base64
import contextlib
import hashlib
import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.report.payload import Block, header_text

PAGE = Path(__file__).parents[1] / "watch" / "page"
"""Where `make install` puts what the browser needs."""
POLICY = ("default-src 'none'; script-src 'sha256-{sha}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
          "form-action 'none'")
"""Nothing is asked of anybody, and no script runs but the report's own: what stands in a symbol or a note is text."""


class ReportError(EngineError):
    """A report cannot be made or written; says what to do."""


def document(title: str, header: Mapping[str, Any], blocks: list[Block]) -> str:
    """The whole file. ReportError where the page was not built."""
    parts = {name: _part(name) for name in ("report.html", "report.js", "report.css")}
    script = parts["report.js"].replace("</script", "<\\/script").replace("<!--", "<\\!--")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = "\n".join([f'<script type="application/json" id="header">{header_text(header, blocks)}</script>',
                      *(f'<script type="text/plain" id="block-{block.name}">{block.packed()}</script>' for block in blocks)])
    values = {"title": html.escape(title), "policy": html.escape(POLICY.format(sha=digest)), "data": data, "js": script,
              "css": parts["report.css"].replace("</style", "<\\/style")}
    out, rest = [], parts["report.html"]
    while "{{" in rest:                                    # in one pass: what stands in the data is no place to fill
        before, _, rest = rest.partition("{{")
        name, _, rest = rest.partition("}}")
        out += [before, values[name.strip()]]
    return "".join([*out, rest])


def _part(name: str) -> str:
    try:
        return (PAGE / name).read_text()
    except FileNotFoundError:
        raise ReportError(f"the page was not built ({name} is missing): `make install` builds it") from None


def write(path: Path, text: str) -> None:
    """Writes the file for its owner alone, whole or not at all. ReportError where that cannot be."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ReportError(f"cannot write {path}: {error.strerror}; name another file with --out") from None
