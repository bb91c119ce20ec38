"""What readers can do to a store process, once confined by the kernel and once by the list of statements alone: nothing."""

import http.client
import socket
import subprocess
import threading
import time

import pytest

from engine.store import confinement, landlock
from engine.store.embedded import password_of
from engine.trail.rundir import RunDir
from tests.conftest import ROOT
from tests.store import hostile

MARK = "swordfish-1881"


class Served:
    """A store process, a secret outside its folder, and a port that should never be called."""

    def __init__(self, base, confined: bool):
        self.run = RunDir(base / "run")
        self.secret = base / "secret.txt"
        self.secret.write_text(f"{MARK}\n")
        self.trap = socket.create_server(("127.0.0.1", 0))
        self.trap.settimeout(0)
        self.errors = (base / "errors").open("w+")
        command = [confinement.command()[0], "-m", "tests.store.served", str(self.run.path), *([] if confined else ["unconfined"])]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env=confinement.environment(),
        )
        self.port, self.writer = self.process.stdout.readline().split()
        self.password = password_of(self.run.database)

    def ask(
        self, sql: str | bytes, user: str = "reader", key: str | None = None, path: str = "/", **headers: str
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=90)
        try:
            connection.request(
                "POST",
                path,
                sql.encode() if isinstance(sql, str) else sql,
                {"X-ClickHouse-User": user, "X-ClickHouse-Key": key or self.password, **headers},
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def was_called(self) -> bool:
        try:
            self.trap.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def end(self) -> None:
        self.process.communicate(timeout=60)
        self.trap.close()
        self.errors.close()


@pytest.fixture(scope="module", params=[pytest.param("confined", marks=pytest.mark.machine), "by the list alone"])
def served(request, tmp_path_factory):
    is_confined = request.param == "confined"
    if is_confined and landlock.version() == 0:
        pytest.skip("this kernel has no Landlock")
    server = Served(tmp_path_factory.mktemp("served"), is_confined)
    yield server
    server.end()


@pytest.fixture(scope="module")
def inserting(served):
    """Inserts by the store, all the time: seconds each took."""
    took, ended = [], threading.Event()

    def insert() -> None:
        while not ended.wait(0.05):
            began = time.monotonic()
            status, said = served.ask("INSERT INTO spike.t FORMAT CSV\n2,two\n", "store", served.writer)
            assert status == 200, said
            took.append(time.monotonic() - began)

    thread = threading.Thread(target=insert)
    thread.start()
    yield took
    ended.set()
    thread.join()
    assert max(took) < 10  # two windows of a batch


def test_no_hostile_statement_comes_back_with_anything(served, inserting):
    statements = hostile.all_of(str(served.secret), served.trap.getsockname()[1])
    assert len(set(statements)) >= 240
    before = len(inserting)
    for sql in statements:
        status, said = served.ask(sql)
        assert status == 400 and said.startswith("Code: "), (sql[:300], status, said[:300])
        assert MARK not in said, (sql[:300], said[:300])
        # by the list, or since it is no statement at all
        assert "refused: " in said or said.startswith(("Code: 62.", "Code: 306.")), (sql[:300], said[:300])
    assert not served.was_called() and not served.secret.with_suffix(".txt.out").exists()
    assert served.ask("SELECT a, b FROM t WHERE a = 1 FORMAT CSV") == (200, '1,"one"\n')
    assert len(inserting) > before
    served.errors.seek(0)
    assert served.errors.read() == ""


def test_below_the_list_the_kernel_and_the_grants_refuse_too(served, request):
    """The store's own client, which no list of statements stands before."""
    port = served.trap.getsockname()[1]
    status, said = served.ask(f"SELECT file('{served.secret}')", "store", served.writer)
    if "confined" in request.node.callspec.id:
        assert status == 400 and "Permission denied" in said and MARK not in said
    else:
        assert status == 200 and MARK in said  # what the list alone stands against
    for sql in (
        f"SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString')",
        f"SELECT * FROM file('{served.secret}', 'LineAsString')",
        "CREATE DATABASE other",
        f"CREATE TABLE spike.u (a String) ENGINE = URL('http://127.0.0.1:{port}/')",
        f"BACKUP TABLE spike.t TO File('{served.secret}.out')",
        "CREATE FUNCTION f AS x -> x",
        "CREATE USER x",
    ):
        status, said = served.ask(sql, "store", served.writer)
        assert status == 400 and "Code: 497." in said and MARK not in said, (sql, said)
    assert not served.was_called()


def test_a_failed_statement_leaves_nothing_to_the_next(served):
    left = "SELECT 'SelectWithUnionQuery x' FROM (SELECT arrayJoin(range(11000000)))"
    status, said = served.ask(left)
    assert status == 400 and "larger than a reader may have" in said
    url = f"url('http://127.0.0.1:{served.trap.getsockname()[1]}/', 'CSV', 'a String')"
    for sql in (f"DESCRIBE TABLE {url}", "KILL QUERY WHERE 1", "SYSTEM STOP MERGES", "USE default"):
        served.ask(left)
        assert served.ask(sql)[0] == 400
        assert served.ask("SELECT 7") == (200, "7\n")
    assert not served.was_called()


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT 'a;b'", "a;b\n"),
        ("SELECT 'file'", "file\n"),
        ("SELECT 1 -- file('x');\n;", "1\n"),
        ("/* file( */ SELECT 2;;", "2\n"),
        ("WITH z AS (SELECT 3 AS k) SELECT k FROM z", "3\n"),
        ("SELECT x.a FROM t AS x INNER JOIN t AS y USING (a) WHERE x.a = 1", "1\n"),
        ("SELECT row_number() OVER (ORDER BY a) FROM t WHERE a = 1", "1\n"),
        ("SHOW TABLES", "t\n"),
        ("EXISTS t", "1\n"),
        ("DESCRIBE TABLE t FORMAT CSV", '"a","UInt32","","","","",""\n"b","String","","","","",""\n'),
        ("SELECT 1 AS x FORMAT JSONEachRow", '{"x":1}\n'),
        ("SELECT arrayMap(x -> x * 2, [1, 2])", "[2,4]\n"),
        ("SELECT 'x\n  Function file', `b` FROM t WHERE a = 1", "x\\n  Function file\tone\n"),
        ("SELECT count() FROM t WHERE (a, b) IN t AND a = 1", "1\n"),
        ("SELECT sumIf(a, a = 1), any(b) FROM t WHERE a = 1", "1\tone\n"),
        ("SELECT 'é', '\\'', 'it''s'", "é\t\\'\tit\\'s\n"),
        ("SELECT '{x:Identifier}'", "{x:Identifier}\n"),
        ("FROM t SELECT b WHERE a = 1 LIMIT 1", "one\n"),
        ("SELECT * EXCEPT (b) FROM t WHERE a = 1", "1\n"),
        ("SELECT toString(toDate('2026-11-26') + INTERVAL 1 DAY)", "2026-11-27\n"),
        ("(SELECT 1) UNION ALL (SELECT 1)", "1\n1\n"),
    ],
)
def test_a_harmless_statement_is_answered(served, sql, answer):
    assert served.ask(sql) == (200, answer)


def test_a_plan_is_explained(served):
    status, said = served.ask("EXPLAIN SELECT count() FROM t")
    assert status == 200 and "count()" in said


def test_parameters_are_filled_in_as_values(served):
    assert served.ask("SELECT {x:UInt32} + 1, {s:String}", path="/?param_x=41&param_s=a%27%3B--b") == (200, "42\ta\\';--b\n")
    assert served.ask("SELECT {s:String}", path="/?param_s=file(%27x%27)") == (200, "file(\\'x\\')\n")
    status, said = served.ask("SELECT {x:UInt32}", path="/?param_x=abc")
    assert status == 400 and "cannot be parsed" in said
    assert served.ask("SELECT * FROM {n:Identifier}", path="/?param_n=system.one")[0] == 400


def test_a_mistake_is_shown_where_the_reader_made_it(served):
    status, said = served.ask("SELECT 1 FORM t")
    assert status == 400 and "failed at position 15 (t)" in said and "formatQuery" not in said


@pytest.mark.parametrize(
    "header",
    [
        b"X-ClickHouse-Key: \xff\xfe\x80",
        b"X-ClickHouse-User: \xff",
        b"Authorization: Basic \xff\xff",
        b"Authorization: Basic cmVhZGVyOv//",
        b"X-ClickHouse-Key: \xed\xa0\x80",
        b"Authorization: Basic ====",
    ],
)
def test_odd_bytes_in_a_password_are_a_wrong_password(served, header):
    request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s%s\r\nContent-Length: 8\r\n\r\nSELECT 1" % (
        b"" if b"User" in header or b"Basic" in header else b"X-ClickHouse-User: reader\r\n",
        header,
    )
    with socket.create_connection(("127.0.0.1", int(served.port))) as line:
        line.sendall(request)
        answer = line.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 401 ")
    served.errors.seek(0)
    assert served.errors.read() == ""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90\r\n\r\nSELECT",
    ],
)
def test_a_bad_request_writes_nothing(served, garbage):
    with socket.create_connection(("127.0.0.1", int(served.port))) as line:
        line.sendall(garbage)
    assert served.ask("SELECT 1")[0] == 200
    served.errors.seek(0)
    assert served.errors.read() == ""


def test_a_statement_has_a_length(served):
    assert served.ask("SELECT '" + "x" * 260_000 + "'")[0] == 200
    status, said = served.ask("SELECT '" + "x" * 270_000 + "'")
    assert status == 400 and "at most 256 KB" in said


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT x FROM (SELECT arrayJoin(range(11000000)) AS x)",
        "SELECT repeat('x', 1000000000)",
    ],
)
def test_a_result_has_a_size(served, sql):
    status, said = served.ask(sql)
    assert status == 400 and "than a reader may have" in said and "in parts" in said, said[:200]
    assert served.ask("SELECT 6") == (200, "6\n")


SLOW = (
    "SELECT count() FROM (SELECT arrayJoin(range(1000000)) AS a) AS x CROSS JOIN (SELECT arrayJoin(range(1000000)) AS b) AS y "
    "WHERE x.a * y.b % 7 = 3"
)


def leaving(served, sql: str) -> socket.socket:
    """A connection on which `sql` was asked, for a client that leaves before it is answered."""
    line = socket.create_connection(("127.0.0.1", int(served.port)))
    line.sendall(
        f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-ClickHouse-User: reader\r\nX-ClickHouse-Key: {served.password}\r\n"
        f"Content-Length: {len(sql)}\r\n\r\n{sql}".encode()
    )
    return line


def test_ten_busy_readers_that_leave_delay_no_insert_and_free_their_place(served, inserting):
    lines = [leaving(served, SLOW) for _ in range(10)]
    time.sleep(1)
    before = len(inserting)
    time.sleep(1)
    assert len(inserting) > before
    for line in lines:
        line.close()
    began = time.monotonic()
    assert served.ask("SELECT 5") == (200, "5\n")
    assert time.monotonic() - began < 10
    assert max(inserting) < 10
