"""The embedded ClickHouse: what is refused, and that clickhouse-connect works unmodified."""
import asyncio
import os
import threading
import time
import urllib.error
import urllib.request

import clickhouse_connect
import pytest

from engine.store import readers
from engine.store.embedded import Embedded


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clickhouse")
    embedded = Embedded(folder)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(embedded.start(), loop).result()
    yield embedded, port, folder
    asyncio.run_coroutine_threadsafe(embedded.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def client(server, user="reader", password=None):
    embedded, port, _ = server
    return clickhouse_connect.get_client(host="127.0.0.1", port=port, username=user, compress=False,
                                         password=password or embedded.password)


def ask(server, headers: dict[str, str], sql: bytes = b"SELECT 1") -> int:
    """HTTP status of a POST."""
    embedded, port, _ = server
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", sql, {
        "X-ClickHouse-User": "reader", "X-ClickHouse-Key": embedded.password} | headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_reader_reads(server):
    with client(server) as c:
        assert c.query("SELECT 1 + 1, 'x'").result_rows == [(2, "x")]
    assert ask(server, {}) == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "evil.example:8123"},
    {"Host": "127.0.0.1.evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_web_pages_and_rebinding_are_refused(server, headers):
    assert ask(server, headers) == 403


def test_wrong_passwords_are_refused(server):
    assert ask(server, {"X-ClickHouse-Key": "guess"}) == 401
    assert ask(server, {"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}) == 401
    assert ask(server, {"X-ClickHouse-User": "store"}) == 401          # the reader's password is not the store's
    with pytest.raises(clickhouse_connect.driver.exceptions.Error):
        client(server, password="wrong")


@pytest.mark.parametrize("sql", [
    "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
    "SELECT 1 INTO OUTFILE '/tmp/spike-evil.txt'", "SELECT 1 into/**/outfile '/tmp/spike-evil.txt'",
    "INSERT INTO FUNCTION file('/tmp/spike-evil.txt', 'CSV', 'a UInt8') SELECT 1", "CREATE TABLE x (a UInt8) ENGINE = Memory",
    "DROP DATABASE spike", "SET readonly = 0", "SELECT 1; SET readonly = 0", "SYSTEM SHUTDOWN",
    "SELECT * FROM executable('id', 'LineAsString', 'a String')", "SELECT * FROM file('/etc/passwd') SETTINGS readonly = 0",
    "SELECT file('/etc/passwd')", "SELECT `f\\x69le`('/etc/passwd')", "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
    "SELECT arrayMap(file, ['/etc/passwd'])", "DESCRIBE TABLE url('http://127.0.0.1:1/')", "DESCRIBE TABLE file('/etc/passwd')",
    "BACKUP TABLE ticks TO S3('http://127.0.0.1:1/')", "KILL QUERY WHERE 1", "USE system", "EXPLAIN AST SELECT 1; SELECT 2",
    "SELECT * FROM s3('http://127.0.0.1:1/x', 'CSV')", "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
])
def test_nothing_but_reading(server, sql):
    assert ask(server, {}, sql.encode()) == 400
    assert not os.path.exists("/tmp/spike-evil.txt")
    assert ask(server, {}) == 200                                      # and the server goes on


def test_the_store_writes_and_a_batch_sent_twice_counts_once(server):
    with client(server, "store", server[0].writer) as c:
        c.command("CREATE TABLE spike.t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10")
        for _ in range(2):
            c.raw_insert("spike.t", insert_block=b"\x01\0\0\0\x02\0\0\0", fmt="RowBinary",
                         settings={"insert_deduplication_token": "one"})
    with client(server) as c:
        assert c.query("SELECT sum(a), count() FROM spike.t").result_rows == [(3, 2)]


def test_a_third_statement_waits_and_is_told_when_it_waits_too_long(server, monkeypatch):
    """Two run in threads that a test can hold; the third gives up, and a place that is free again is taken."""
    gate, run = threading.Event(), server[0].readers._run

    def held(tag, sql, wanted, parameters):
        gate.wait(30)
        return run(tag, sql, wanted, parameters)

    monkeypatch.setattr(readers, "WAIT_S", 0.2)
    monkeypatch.setattr(server[0].readers, "_run", held)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(server, {}))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while server[0].readers.slots._value:
        time.sleep(0.01)
    assert ask(server, {}) == 503
    gate.set()
    for thread in threads:
        thread.join()
    assert answers == [200, 200] and ask(server, {}) == 200


def test_names_that_are_longer_than_the_values_count_too(server):
    """A small result in a format that repeats a name of 200 KB with each of its rows: some 4 GB."""
    assert ask(server, {}, b"SELECT 1 AS %s FROM (SELECT arrayJoin(range(20000))) FORMAT JSONEachRow" % (b"x" * 200_000)) == 400
    assert ask(server, {}) == 200


def test_the_password_file_is_private(server):
    assert (server[2] / "password").stat().st_mode & 0o777 == 0o600
