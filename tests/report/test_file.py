"""The file in the Chromium of this machine, opened from disk: every section is drawn, nothing is asked of anybody, nothing is said
on the console, axe finds nothing serious. COUNTS=soak opens it in phone and desktop widths, light and dark; else in one or two.
"""
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config import Config
from engine.report.backtests import of_backtest
from engine.report.gather import of_runs
from engine.report.html import PAGE, document, write
from tests.conftest import ROOT
from tests.kit.counts import count
from tests.kit.reports import year

pytestmark = pytest.mark.browser
AXE = ROOT / "build/page/node_modules/axe-core/axe.min.js"
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
LOOKS = count([(1440, "dark")], [(1440, "dark"), (390, "light")],
              [(width, scheme) for width in (390, 1440) for scheme in ("light", "dark")])
OF_RUNS = ["account", "seen", "trades", "costs", "months", "hours", "distributions", "groups", "criteria", "latency", "suggestions",
           "engine"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    if not (PAGE / "report.js").exists():
        pytest.skip("the page is not bundled: make page")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Opened:
    """A report in a tab; `said` has what the console said, `asked` the addresses that were asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1440, scheme: str = "dark"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page, self.said, self.asked = self.context.new_page(), list[str](), list[str]()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("main h1")

    def __enter__(self) -> "Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def walk(self) -> list[str]:
        """Scrolls through every section until it is drawn; their names."""
        names = []
        for section in self.page.query_selector_all("section.part"):
            section.scroll_into_view_if_needed()
            names.append(section.get_attribute("id"))
            self.page.wait_for_selector(f"#{names[-1]}[data-drawn=true]")
            self.page.wait_for_function("name => !document.querySelector(`#${name} .skeleton`)", arg=names[-1])
        return names

    def serious(self) -> list[str]:
        if not AXE.exists():
            pytest.skip("axe-core is not there: make page")
        self.page.evaluate(AXE.read_text())                # a script element of ours is what the policy forbids
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] if one["impact"] in ("serious", "critical")
                for node in one["nodes"]]

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))


@pytest.fixture(scope="module")
def files(week, played, tmp_path_factory) -> dict[str, Path]:
    if not (PAGE / "report.js").exists():
        pytest.skip("the page is not bundled: make page")
    folder, out = tmp_path_factory.mktemp("files"), {}
    for name, (title, header, blocks) in (("week", of_runs(week, Config(), "week")), ("day", of_runs(week[:1], Config(), "day")),
                                          ("backtest", of_backtest(played))):
        out[name] = folder / f"{name}.html"
        write(out[name], document(title, header, blocks))
    return out


@pytest.mark.long
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
@pytest.mark.parametrize("name", ["week", "day", "backtest"])
def test_every_section_is_drawn_and_nobody_is_asked(chromium, files, name, width, scheme):
    with Opened(chromium, files[name], width, scheme) as opened:
        wanted = [part for part in OF_RUNS if name != "backtest" or part not in ("criteria", "suggestions")]
        assert opened.walk() == wanted
        assert not opened.page.query_selector_all(".empty.error")
        assert opened.page.query_selector_all("#account canvas") and opened.page.query_selector_all("#trades canvas")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width      # nothing is wider than the window
        assert opened.serious() == []
        assert opened.said == [] and opened.asked == [files[name].as_uri()]


def test_the_figures_that_are_shown_are_those_of_the_header(chromium, files, played):
    header = of_backtest(played)[1]
    with Opened(chromium, files["backtest"]) as opened:
        tiles = opened.text(".tiles")
        net = round(header["summary"]["net"])
        assert str(abs(net)) in tiles.replace(",", "") and f"{header['summary']['win_rate'] * 100:.1f} %" in tiles
        opened.walk()
        shown = opened.page.get_attribute("#trades .vt", "aria-rowcount")
        assert int(shown) == header["summary"]["trades"] + header["summary"]["open"] + 1


def test_trades_are_filtered_and_stepped_through_by_keyboard(chromium, files):
    with Opened(chromium, files["backtest"]) as opened:
        page = opened.page
        page.locator("#trades").scroll_into_view_if_needed()
        page.wait_for_selector("#trades .vt-row[aria-rowindex='3']")
        first = opened.text(".one-trade .facts")
        page.get_by_label("Trade after").click()
        page.wait_for_function("before => document.querySelector('.one-trade .facts').innerText !== before", arg=first)
        symbol = opened.text("#trades .vt-row[aria-rowindex='2'] b")
        page.fill("#trades input", symbol[:4])
        page.wait_for_function("word => [...document.querySelectorAll('#trades .vt-body b')].every("
                               "b => b.innerText.includes(word))", arg=symbol[:4])
        rows = [row.inner_text() for row in page.query_selector_all("#trades .vt-body .vt-row b")]
        assert rows and all(symbol[:4] in row for row in rows)
        page.focus("#trades .vt")
        page.keyboard.press("End")
        page.keyboard.press("Enter")
        page.wait_for_selector("#trades .vt-row.is-chosen")
        before = page.evaluate("document.documentElement.dataset.theme")
        page.click(".theme")
        assert page.evaluate("document.documentElement.dataset.theme") != before
        assert opened.said == []


def test_hostile_words_are_words(chromium, tmp_path):
    """In a symbol, a source, a reason, a note and the name of a run."""
    title, header, blocks = year(3, 12, 2, 30)
    for block in blocks:
        for column in block.columns:
            if "words" in column and column["name"] in ("symbol", "source", "reason"):
                column["words"] = [HOSTILE + word for word in column["words"]]
    header["notes"].append(f"{HOSTILE}</script><script>alert(2)</script>")
    header["runs"], header["problem"] = [HOSTILE], HOSTILE
    header["groups"]["source"] = {HOSTILE: next(iter(header["groups"]["source"].values()))}
    path = tmp_path / "hostile.html"
    write(path, document(f"{HOSTILE}{title}", header, blocks))
    with Opened(chromium, path) as opened:
        opened.walk()
        assert HOSTILE in opened.text(".report-head") and HOSTILE in opened.text("#groups") and HOSTILE in opened.text("#trades")
        assert opened.page.query_selector_all("img") == [] and opened.said == [] and opened.asked == [path.as_uri()]
        opened.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=\"http://192.0.2.1/x\">')")
        opened.page.wait_for_timeout(200)
        assert any("Content Security Policy" in said for said in opened.said)      # what would ask is stopped by the policy


def test_a_file_of_another_version_says_so(chromium, files, tmp_path):
    path = tmp_path / "later.html"
    path.write_text(files["day"].read_text().replace('"version":1', '"version":9', 1))
    context = chromium.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_function("() => document.body.innerText.includes('Make it again')")
    assert "version 9" in page.inner_text("#report")
    context.close()


@pytest.mark.long
def test_a_year_is_small_and_shows_its_figures_at_once(chromium, tmp_path):
    """200 stocks, 10,000 trades; the median of some loads, from the opening of the file to the first paint with the figures in it.
    The smaller counts have the same limit."""
    title, header, blocks = year(*count((60, 1000, 60, 2000), (125, 3000, 200, 8000), (250, 10_000, 200, 60_000)))
    path = tmp_path / "year.html"
    write(path, document(title, header, blocks))
    assert path.stat().st_size <= 3_000_000
    painted = []
    for _ in range(3):
        with Opened(chromium, path) as opened:
            painted.append(opened.page.evaluate(
                "new Promise(done => { const look = () => {"
                "const found = performance.getEntriesByName('first-contentful-paint')[0];"
                "const drawn = performance.getEntriesByName('drawn')[0];"
                "found && drawn ? done(Math.max(found.startTime, drawn.startTime)) : setTimeout(look, 20) }; look() })"))
    assert sorted(painted)[1] <= 1000, painted
