"""Runs of the real command line in folders of their own."""
import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest


class Cli:
    """`python -m engine` from the project's root, with run folders and locks under `base`."""

    def __init__(self, base: Path):
        self.base = base
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("ENGINE_")} | {
            "XDG_STATE_HOME": str(base / "state"), "ENGINE_WATCH__IS_ON": "false"}      # a page is served where a test looks at one
        (base / "runs").mkdir(exist_ok=True)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "engine", *arguments], cwd=self.base, env=self.env | env,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, *arguments: str, code: int = 0, timeout: float = 240, **env: str) -> str:
        """Standard output of a command that must end with `code`."""
        done = subprocess.run([sys.executable, "-m", "engine", *arguments], cwd=self.base, env=self.env | env, capture_output=True,
                              text=True, timeout=timeout, check=False)
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout if code == 0 else done.stdout + done.stderr

    def json(self, *arguments: str, **options):
        return orjson.loads(self.run(*arguments, "--json", **options))


@pytest.fixture
def cli(tmp_path):
    return Cli(tmp_path)


SHORT = ("--names", "12", "--speed", "max", "--seed", "3", "--minutes", "45")
"""A short synthetic day on virtual time."""
