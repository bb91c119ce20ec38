"""A short generated day that traded, for every test of what is shown of one; a browser, and a server for its page."""
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.watch.follow import followed
from tests.watch.page_market import ROOT, Market
from tests.watch.page_server import PageServer
from tests.watch.page_visit import ARGUMENTS, CHROMIUM, Running, Visit


@pytest.fixture(scope="session")
def day_run(tmp_path_factory) -> Path:
    """The folder of a run on virtual time: 16 names, 75 minutes, candidates refused and passed, trades won and lost."""
    path = tmp_path_factory.mktemp("day") / "run"
    engine.run(speed="max", names=16, minutes=75, seed=11, store=False, run_dir=path, mood="lively", unlisted=True)
    return path


@pytest.fixture(scope="session")
def followed_day(day_run):
    return followed(day_run)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    if not (ROOT / "engine/watch/page/index.html").exists():
        pytest.skip("the page is not bundled: make page")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def serving() -> Iterator[Callable[[PageServer], Running]]:
    """Starts servers, and ends them whatever comes of the test."""
    begun: list[Running] = []

    def begin(server: PageServer) -> Running:
        begun.append(Running(server))
        return begun[-1]

    yield begin
    for running in begun:
        running.end()


@pytest.fixture
def running(serving: Callable[[PageServer], Running]) -> Running:
    return serving(PageServer(Market()))


@pytest.fixture
def visit(chromium: Any, running: Running) -> Iterator[Visit]:
    found = Visit(chromium, running.address)
    yield found
    found.end()
