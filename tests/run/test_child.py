"""The last words of a process that died are their cause, and its output stays short."""
import subprocess
import sys
import time

import pytest

from engine.run.child import OUT_MAX, Child, cause_in
from engine.trail.resources import ADVICE, SHARED

UNCLOSED = """error: no room for 16 MiB in /dev/shm/x
Unclosed client session
client_session: <aiohttp.client.ClientSession object at 0x7f>
Unclosed connector
connections: ['deque([(<aiohttp.client_proto.ResponseHandler object at 0x7f>, 685.6)])']
connector: <aiohttp.connector.TCPConnector object at 0x7f>
"""
TRACE = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
    boom()
ZeroDivisionError: division by zero
"""
CLICKHOUSE = """error: Code: 1001. e, type: std::bad_alloc, e.what() = std::bad_alloc, Stack trace (copy): 0. ? @ 0x7f
1. ? @ 0x00
 (version 26.9.2.1)
"""


@pytest.mark.parametrize(("text", "cause"), [
    (UNCLOSED, "no room for 16 MiB in /dev/shm/x"),
    (TRACE, "ZeroDivisionError: division by zero"),
    ('{"at":1,"note":"book not read"}\n{"at":2,"note":"feed: closed"}\n', "feed: closed"),
    ('{"at":1,"store":"ClickHouse is away"}\nUnclosed connector\n', "ClickHouse is away"),
    ("/x/polars/build.py:5: UserWarning: Polars binary is missing!\n  from polars\n", ""),
    ("error: first\nsomething else\n", "first"), ("", ""), ("\n \n", ""),
    (f"error: no room: No space left on device: {SHARED}\n", f"no room: No space left on device: {SHARED}"),
])
def test_the_cause_is_found_among_what_surrounds_it(text, cause):
    assert cause_in(text) == cause


def test_a_library_that_ran_out_of_memory_is_translated():
    said = cause_in(CLICKHOUSE)
    assert said.startswith("too little memory") and "Stack trace" not in said and "0x7f" not in said
    assert cause_in("error: OSError: [Errno 24] Too many open files: 'x'").startswith("too few file descriptors")


def child_of(tmp_path, code, name="engine"):
    child = Child(name, [sys.executable, "-c", code], out=tmp_path / "x.out")
    child.start()
    assert child.process is not None
    child.process.wait()
    return child


def test_words_are_of_this_life_and_name_the_signal(tmp_path):
    child = child_of(tmp_path, "print('error: early')")
    assert child.last_words() == "early"
    child.command = [sys.executable, "-c", "import os; os.abort()"]
    child.start()
    child.process.wait()
    assert child.last_words() == "ended by SIGABRT"
    child.command = [sys.executable, "-c", "print('error: why', flush=True); import os; os.kill(os.getpid(), 9)"]
    child.start()
    child.process.wait()
    assert child.last_words() == "why (ended by SIGKILL)"
    assert Child("x", []).last_words() == "it said nothing"


def test_a_store_under_a_memory_limit_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.run.child.memory_limit", lambda: 256 << 20)
    said = child_of(tmp_path, "import os; os._exit(3)", "store").last_words()
    assert ADVICE[12] in said and "256 MB" in said and "()" not in said
    assert "memory" not in child_of(tmp_path, "import os; os._exit(3)").last_words()


def test_deaths_with_the_same_words_are_counted_in_a_row(tmp_path):
    child = Child("engine", [], out=tmp_path / "x.out")
    for words, repeats in (("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)):
        child.command = [sys.executable, "-c", f"print('error: {words}')"]
        child.start()
        child.process.wait()
        child.has_died(time.monotonic(), 600)
        assert (child.words, child.repeats) == (words, repeats)
    assert child.died == 5 and child.pause > 1 and child.is_ill(False)


def test_illness_ends_a_minute_after_the_last_death(tmp_path):
    child = child_of(tmp_path, "")
    assert not child.is_ill(False)
    child.has_died(time.monotonic(), 600)
    assert child.is_ill(False) and child.is_ill(True), "dead"
    child.start()
    assert child.is_ill(False) and not child.is_ill(True), "alive again: history once all is done"
    child.deaths[-1] -= 61
    assert not child.is_ill(False)
    child.is_crippled = True
    assert child.is_ill(True)
    child.process.wait()


def test_output_is_bounded_while_it_is_written(tmp_path):
    code = f"import sys, time; sys.stdout.write('x' * {OUT_MAX + 1}); sys.stdout.flush(); sys.stdin.read(); print('error: late')"
    with (tmp_path / "x.out").open("ab") as out:
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=out, stdin=subprocess.PIPE)
    child = Child("engine", [], process=writer, out=tmp_path / "x.out")
    end = time.monotonic() + 20
    while (tmp_path / "x.out").stat().st_size <= OUT_MAX and time.monotonic() < end:
        time.sleep(0.05)
    child.bound()
    writer.communicate()
    assert (tmp_path / "x.out").stat().st_size < 100 and (tmp_path / "x.out.1").stat().st_size == OUT_MAX + 1
    assert child.last_words() == "late"
