"""Dashboards are what `tools/dashboards.py` makes; Debian's Prometheus scrapes the metrics, answers every panel and every rule, and
its alerts reach a webhook through Alertmanager."""
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

import orjson
import pytest
import yaml

from engine.watch.metrics import TABLE, Metrics
from engine.watch.watched import Channel, Watched
from tests.conftest import ROOT
from tests.kit.answering import answering
from tests.kit.watched import watched_day
from tests.watch.test_delivery import until

PROMETHEUS, GRAFANA = ROOT / "engine" / "watch" / "prometheus", ROOT / "engine" / "watch" / "grafana"
TOKEN = "a-token-of-the-page"
NEEDED = ("prometheus", "promtool", "prometheus-alertmanager")


@pytest.fixture
def debian():
    for name in NEEDED:
        if not shutil.which(name):
            pytest.skip(f"no {name}: apt install prometheus prometheus-alertmanager")


def panels() -> dict[str, list[str]]:
    """Title -> expressions, of all dashboards."""
    found: dict[str, list[str]] = {}
    for path in sorted(GRAFANA.glob("*.json")):
        for panel in orjson.loads(path.read_bytes())["panels"]:
            if panel["type"] != "row":
                found[f"{path.stem}: {panel['title']}"] = [target["expr"] for target in panel["targets"]]
    return found


def names_in(expr: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name not in KNOWN else name for name in re.findall(r"\bspike_\w+", expr)}


KNOWN = {measure.name for measure in TABLE}


def test_the_files_are_what_is_made():
    done = subprocess.run([sys.executable, "tools/dashboards.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_stands_on_a_dashboard_and_no_panel_asks_for_another():
    asked = {name for exprs in panels().values() for expr in exprs for name in names_in(expr)}
    assert asked == KNOWN
    assert len(panels()) > 40


def test_rules_name_metrics_that_exist():
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    found = [rule for group in rules["groups"] for rule in group["rules"]]
    assert {name for rule in found for name in names_in(rule["expr"])} <= KNOWN
    assert any(rule["expr"] == "absent(spike_engine_up)" for rule in found)
    assert all(rule["labels"]["severity"] in ("page", "warn", "none") and rule["annotations"]["summary"] for rule in found)


@pytest.mark.prometheus
@pytest.mark.parametrize("command", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml"),
                                     ("check", "config", "--syntax-only", "prometheus.yml")], ids=" ".join)
def test_promtool_finds_nothing_wrong(command, debian):
    done = subprocess.run(["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def full(folder: Path) -> Watched:
    """The end of a day in which everything is known."""
    view = watched_day(folder, 40, 20, mood=4.0).end()
    view.wall_ns = time.time_ns()
    view.status["heartbeat"], view.status["started"] = view.wall_ns, view.wall_ns - 10**12
    for name, value in {
            "run": "runs/x", "mode": "simulated", "source": "sim", "version": "0.1.0", "day": "2026-09-01", "model": "f1b58a0c",
            "store": {"stored": 5, "trouble": ""}, "launcher": {"died": {"engine": 0}}, "store_lag_s": 1.0, "model_age_s": 5.0,
            "threshold": 0.3, "token_s": 9000.0, "disk_free": 10**11, "disk_rate": 5.0, "memory": {"engine": 10**8},
            "days": {"2026-08-31": 500}, "channels": [Channel("json 1")], "firing": {"page": 0, "warn": 0, "note": 0},
            "drift": {"enough": True, "psi": {"z20": 0.1}, "drifted": [], "score": [{"from": 0.8, "candidates": 5, "stayed": 0.8}]},
    }.items():
        setattr(view, name, value)
    for histogram in (*view.tally.stages.values(), *view.tally.answers.values()):
        histogram.add(30_000)
    return view


@pytest.fixture
def scraping(debian, tmp_path, unused_tcp_port_factory):
    """Prometheus over the shipped configuration, its times shortened, with Alertmanager beside it."""
    with answering() as served, answering() as hook:
        metrics, view = Metrics(), full(tmp_path / "run")
        truth = {"is_there": True}

        def answer(asked):
            if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, "text/plain", b"", {}
            if not truth["is_there"]:
                return 503, "text/plain", b"", {}
            view.wall_ns = time.time_ns()
            view.status["updates"] += 100
            metrics.update(view)
            return 200, "text/plain; version=0.0.4; charset=utf-8", metrics.text(), {}

        served.answer = answer
        port, manager = unused_tcp_port_factory(), unused_tcp_port_factory()
        home = tmp_path / "prometheus"
        home.mkdir()
        (home / "watch.token").write_text(TOKEN)
        rewrite(home, "prometheus.yml", {"127.0.0.1:8700": f"127.0.0.1:{served.port}", "127.0.0.1:9093": f"127.0.0.1:{manager}",
                                         "_interval: 5s": "_interval: 1s"})
        rewrite(home, "rules.yml", {"for: 1m": "for: 6s"})
        rewrite(home, "alertmanager.yml", {"127.0.0.1:9999": f"127.0.0.1:{hook.port}", "group_wait: 5s": "group_wait: 0s",
                                         "group_interval: 1m": "group_interval: 1s"})
        processes = [
            subprocess.Popen(["prometheus-alertmanager", f"--config.file={home}/alertmanager.yml", f"--storage.path={home}/am",
                              f"--web.listen-address=127.0.0.1:{manager}", "--cluster.listen-address="], stderr=subprocess.DEVNULL),
            subprocess.Popen(["prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
                              f"--web.listen-address=127.0.0.1:{port}",
                              "--rules.alert.resend-delay=1s"], stderr=subprocess.DEVNULL)]
        try:
            assert until(lambda: sum(a.headers.get("Authorization") == f"Bearer {TOKEN}" for a in served.asked) >= 4, 60)
            yield f"http://127.0.0.1:{port}", hook, truth
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(20)


@pytest.fixture
def unused_tcp_port_factory():
    import socket

    def one() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]
    return one


def rewrite(home: Path, name: str, changes: dict[str, str]) -> None:
    text = (PROMETHEUS / name).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    (home / name).write_text(text)


def asked(base: str, expr: str) -> list:
    url = f"{base}/api/v1/query?" + urllib.parse.urlencode({"query": expr})
    with urllib.request.urlopen(url, timeout=10) as answer:
        document = orjson.loads(answer.read())
    assert document["status"] == "success", expr
    return document["data"]["result"]


@pytest.mark.prometheus
def test_every_panel_is_answered_and_alerts_reach_a_webhook(scraping):
    base, hook, truth = scraping
    assert until(lambda: len(asked(base, "count_over_time(spike_engine_up[1m]) > 2")) == 1, 30)
    for title, exprs in panels().items():
        for expr in exprs:
            assert asked(base, expr), f"{title}: {expr} finds nothing"
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        asked(base, rule["expr"])
    assert asked(base, 'spike_feed_updates_total{job="spike"}')[0]["value"][1].isdigit()

    assert until(lambda: any(a.path == "/heartbeat" for a in hook.asked), 30), "the watchdog reaches the outside heartbeat"
    assert not [a.body for a in hook.asked if a.path == "/people"], "all is well"
    truth["is_there"] = False
    assert until(lambda: any(a.path == "/people" and b"SpikeGone" in a.body for a in hook.asked), 60)
    document = orjson.loads(next(a.body for a in hook.asked if b"SpikeGone" in a.body))
    assert document["status"] == "firing" and document["commonLabels"] == {"alertname": "SpikeGone", "severity": "page"}
