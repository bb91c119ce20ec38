"""What a command imports, and what it leaves out."""
import gc
import subprocess
import sys
from pathlib import Path

from engine.cli.importing import imports

ROOT = Path(__file__).parents[2]


def test_nothing_is_collected_within_and_nothing_of_it_is_looked_at_after():
    before = gc.get_freeze_count()
    try:
        with imports():
            assert not gc.isenabled()
            made = [[] for _ in range(100)]
        assert gc.isenabled() and gc.get_freeze_count() >= before + 100 and not any(item is made for item in gc.get_objects())
    finally:
        gc.unfreeze()


def test_an_import_that_fails_leaves_the_collector_on():
    try:
        with imports():
            raise ImportError
    except ImportError:
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_backtest_begins_no_thread_and_needs_no_socket():
    """Threads of numpy's algebra would wait for work that never comes, with their processor busy."""
    code = ("import os, sys, typer\nfrom engine.cli import app\n"
            "typer.main.get_command(app).get_command(None, 'backtest')\nimport engine.backtest.session\n"
            "assert len(os.listdir('/proc/self/task')) == 1, os.listdir('/proc/self/task')\n"
            "slow = {'polars', 'picows', 'aiohttp', 'rich', 'pandas', 'pyarrow', 'chdb'}\n"
            "assert not slow & set(sys.modules), slow & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
