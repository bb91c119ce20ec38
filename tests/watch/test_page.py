"""The browser page, in the Chromium of this machine, against the small server of page_server: every panel, every control.

The page's bundle is what `make install` made. COUNTS=soak walks it in phone and desktop widths, light and dark; else in one of them.
"""
import asyncio
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.counts import count
from tests.watch.page_market import OPEN_US, ROOT, SECOND, Market
from tests.watch.page_server import PageServer, serve

pytestmark = pytest.mark.browser
AXE = ROOT / "build/page/node_modules/axe-core/axe.min.js"
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
LOOKS = count([(1440, "dark")], [(1440, "dark"), (390, "light")],
              [(width, scheme) for width in (390, 1440) for scheme in ("light", "dark")])
TABS = ("market", "trading", "money", "feed", "options", "risk", "models", "log", "runs")
PANELS = {"market": ("map", "candles", "candidates"), "trading": ("positions", "orders", "trades"), "money": ("figures", "equity", "sources", "broker"),
          "feed": ("feed", "latency", "gaps"), "options": ("chain",), "risk": ("limits", "budgets", "alarms"), "models": ("active", "drift", "known"),
          "log": ("alerts", "log"), "runs": ("runs", "one")}


class Running:
    """A PageServer in a thread of its own."""

    def __init__(self, server: PageServer):
        self.server, self.loop = server, asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.runner, self.address = self.call(serve(server))

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def drop(self) -> None:
        """Cuts every WebSocket."""
        async def close() -> None:
            for socket in list(self.server.sockets):
                await socket.close()
        self.call(close())

    def end(self) -> None:
        self.drop()
        self.call(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


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


class Visit:
    """A page with what went wrong in it: console errors, exceptions, requests to another host."""

    def __init__(self, chromium: Any, address: str, width: int = 1440, scheme: str = "dark"):
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 500,
                                            is_mobile=width < 500, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.context.route("**/*", lambda route: self._look(route, address))
        self.page.goto(address)
        self.page.wait_for_selector("[data-panel=map]")

    def _look(self, route: Any, address: str) -> None:
        if not route.request.url.startswith((address, "data:")):
            self.outside.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def open(self, tab: str) -> None:
        self.page.click(f"[data-tab={tab}]")
        self.page.wait_for_selector(f"#view.view-{tab}")

    def until(self, condition: str, timeout_s: float = 10) -> None:
        """Waits for an expression of the page: Playwright's own way needs `eval`, which the page's policy forbids."""
        end = time.monotonic() + timeout_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"not within {timeout_s} s: {condition}"
            self.page.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def end(self) -> None:
        self.context.close()
        assert not self.wrong, self.wrong
        assert not self.outside, self.outside


@pytest.fixture
def visit(chromium: Any, running: Running) -> Iterator[Visit]:
    found = Visit(chromium, running.address)
    yield found
    found.end()


@pytest.mark.long
@pytest.mark.parametrize("width,scheme", LOOKS)
def test_every_panel_is_drawn_fits_and_is_accessible(chromium: Any, running: Running, width: int, scheme: str) -> None:
    visit = Visit(chromium, running.address, width, scheme)
    page = visit.page
    page.evaluate(AXE.read_text())
    for tab in TABS:
        visit.open(tab)
        for panel in PANELS[tab]:
            page.wait_for_selector(f"[data-panel={panel}]")
        page.wait_for_selector(".skeleton", state="detached")
        if tab == "runs":
            page.click("[data-table=runs] .vt-body .vt-row:nth-child(3)")
            page.wait_for_selector("[data-panel=durations] .bar")
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{tab} is wider than the page"
        _accessible(page, tab)
    visit.open("market")
    page.click("[data-table=candidates] .vt-body .vt-row:nth-child(6)")
    page.wait_for_selector(".drawer .chain")
    _accessible(page, "a candidate")
    visit.end()


def _accessible(page: Any, where: str) -> None:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    faults = [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found["violations"] if one["impact"] in ("serious", "critical")
              for node in one["nodes"][:4]]
    assert not faults, f"{where}: " + "\n".join(faults)


def test_the_numbers_are_the_servers(visit: Visit, running: Running) -> None:
    market, page = running.server.market, visit.page
    assert visit.text(".strip .mode") == "PAPER"
    net = sum(t["gross"] - t["charges"] for t in market.trades) + sum(p["open"] for p in market.positions)
    assert visit.text(".strip .net .cell-main") == _rupees(net)
    visit.open("trading")
    row = page.locator("[data-table=orders] .vt-body .vt-row").first.inner_text().split("\n")
    order = max(market.orders, key=lambda one: one["id"])
    assert f"▼ {order['symbol']}" in row or f"▲ {order['symbol']}" in row, row
    assert _rupees(order["price"], False) in row
    visit.open("options")
    page.wait_for_selector(".option-chain tbody tr")
    assert page.locator(".option-chain tbody tr").count() == 19


def _rupees(paise: int, plus: bool = True) -> str:
    """Indian grouping by another road: the last three digits, then pairs."""
    whole, part = divmod(abs(paise), 100)
    text = str(whole)
    head, tail = text[:-3], text[-3:]
    groups = [head[max(0, k - 2):k] for k in range(len(head), 0, -2)][::-1]
    sign = "−" if paise < 0 else "+" if plus and paise else ""
    return f"{sign}{','.join([*groups, tail])}.{part:02d}"


def test_a_refused_candidate_says_which_rule_and_by_how_much(visit: Visit, running: Running) -> None:
    page = visit.page
    page.select_option("[aria-label='Filter by verdict']", "refused")
    visit.until("!document.querySelector('[data-table=candidates] .vt-row.watched')")
    page.locator("[data-table=candidates] .vt-body .vt-row").nth(2).click()
    number = int(page.evaluate("location.hash.split('/').pop()"))
    row = running.server.market.candidates[number - 1]
    page.wait_for_selector(".drawer .seen")
    assert row["reason"] in visit.text(".why h3").lower()
    assert f"limit {row['limit']:.4g}" in visit.text(".against-words").replace("\n", " ")
    below = abs(row["measured"] - row["limit"]) / row["limit"] * 100 if row["limit"] else None
    assert below is None or f"{float(f'{below:.3g}'):g} %" in visit.text(".against-words")
    rows = page.locator(".seen tbody tr")
    outside = [("outside" in (rows.nth(k).get_attribute("class") or "")) for k in range(rows.count())]
    assert True in outside and outside == sorted(outside, reverse=True), "what lies outside training stands first"
    page.keyboard.press("Escape")
    page.wait_for_selector(".drawer", state="detached")


def test_ten_thousand_candidates_scroll_and_open_at_once(chromium: Any, serving: Callable[[PageServer], Running]) -> None:
    running = serving(PageServer(Market(candidates=10_000)))
    visit = Visit(chromium, running.address)
    page = visit.page
    page.wait_for_selector("[data-table=candidates] .vt-body .vt-row:nth-child(20)")
    assert page.locator("[data-table=candidates] .vt-body .vt-row").count() < 100, "only rows in sight are drawn"
    page.eval_on_selector("[data-table=candidates]", "table => { table.scrollTop = table.scrollHeight }")
    visit.until("[...document.querySelectorAll('[data-table=candidates] .vt-body .vt-row')].some(row => row.ariaRowIndex > 9990 && "
                           "!row.classList.contains('is-loading'))", timeout_s=20)
    took = page.evaluate("""() => new Promise((done) => {
        const begun = performance.now();
        new MutationObserver((_, watcher) => {
          if (document.querySelector('.drawer .chain')) { watcher.disconnect(); requestAnimationFrame(() => done(performance.now() - begun)); }
        }).observe(document.body, {childList: true, subtree: true});
        const rows = document.querySelectorAll('[data-table=candidates] .vt-body .vt-row');
        rows[rows.length - 1].click(); })""")
    visit.end()
    assert took < 1000


def test_the_time_machine_puts_every_panel_at_its_moment(visit: Visit, running: Running) -> None:
    page, server = visit.page, running.server
    page.keyboard.press("t")
    page.fill("[aria-label='Time of day']", "10:00:30")
    page.keyboard.press("Enter")
    page.wait_for_selector(".banner")
    assert "10:00:30" in visit.text(".banner") and visit.text(".strip .cell .cell-main") == "10:00:30"
    assert page.is_disabled("[data-operate]")
    at = OPEN_US + (45 * 60 + 30) * SECOND
    seen = sum(row["t_us"] <= at for row in server.market.candidates)
    assert visit.text("[data-panel=candidates] .panel-note").endswith(f"of {seen}")
    server.asked.clear()
    for tab in TABS[1:8]:
        visit.open(tab)
        page.wait_for_timeout(150)
    asked = [path for path in server.asked if path.startswith("/api/")]
    assert len(asked) > 8 and all(f"at={at}" in path for path in asked), [path for path in asked if "at=" not in path]
    page.focus("[aria-label='Moment of the run']")
    page.keyboard.press("ArrowRight")
    visit.until("document.querySelector('.banner').innerText.includes('10:00:31')")
    page.keyboard.press("[")
    visit.until("document.querySelector('.banner').innerText.includes('10:00:30')")
    page.click("text=−10 min")
    visit.until("document.querySelector('.banner').innerText.includes('09:50:30')")
    page.keyboard.press("l")
    page.wait_for_selector(".banner", state="detached")
    assert page.is_enabled("[data-operate]")


def test_an_earlier_run_fills_the_whole_page(visit: Visit, running: Running) -> None:
    page = visit.page
    page.click("[aria-label='Time machine']")
    page.select_option("[aria-label=Run]", "paper-27")
    page.wait_for_selector(".banner")
    assert "paper-27" in visit.text(".banner") and page.is_disabled("[data-operate]")
    running.server.asked.clear()
    visit.open("money")
    page.wait_for_selector("[data-panel=equity] canvas")
    assert all("run=paper-27" in path for path in running.server.asked if path.startswith("/api/"))
    page.click(".banner button")
    page.wait_for_selector(".banner", state="detached")


def test_operations_need_two_steps_and_kill_its_word(visit: Visit, running: Running) -> None:
    page, server = visit.page, running.server
    page.click("[data-operate]")
    page.click("[role=menuitem]:has-text('Pause')")
    assert "No new entry is sent" in visit.text("dialog.confirm")
    page.click("dialog.confirm >> text=Cancel")
    assert server.operations == []
    page.keyboard.press("o")
    page.click("[role=menuitem]:has-text('Pause')")
    page.click("dialog.confirm button.main")
    page.wait_for_selector("dialog.confirm", state="detached")
    visit.until("document.querySelector('.strip').innerText.includes('PAUSE')")
    for name in ("flatten", "kill"):
        page.click("[data-operate]")
        page.click(f"[role=menuitem]:has-text('{name.title()}')")
        assert page.is_disabled("dialog.confirm button.danger")
        page.fill("dialog.confirm input", "yes")
        assert page.is_disabled("dialog.confirm button.danger")
        page.fill("dialog.confirm input", name.upper())
        page.click("dialog.confirm button.danger")
        page.wait_for_selector("dialog.confirm", state="detached")
    visit.open("models")
    page.click("[data-panel=known] button:has-text('Promote')")
    page.click("dialog.confirm button.main")
    page.wait_for_selector("dialog.confirm", state="detached")
    page.click("[data-panel=active] >> text=Roll back")
    page.click("dialog.confirm button.main")
    page.wait_for_selector("dialog.confirm", state="detached")
    visit.open("log")
    page.click("[data-panel=alerts] button:has-text('Acknowledge')")
    page.click("dialog.confirm button.main")
    page.wait_for_selector("text=seen by you")
    names = [operation for operation, _ in server.operations]
    assert names == ["pause", "flatten", "kill", "promote", "rollback", "acknowledge"]


def test_notes_are_written_and_shown(visit: Visit, running: Running) -> None:
    page = visit.page
    page.click("[data-table=candidates] .vt-body .vt-row:nth-child(4)")
    page.fill(".note-form input", "the news came first #news")
    page.click(".note-form button")
    page.click("dialog.confirm button.main")
    page.wait_for_selector(".notes .chip:has-text('news')")
    assert running.server.operations[0][0] == "note"


def test_what_is_stale_looks_it_and_the_page_connects_again(visit: Visit, running: Running) -> None:
    page, server = visit.page, running.server
    page.wait_for_selector(".fresh.ok")
    server.is_silent = True
    page.wait_for_selector("html.is-stale")
    assert re.search(r"no data for \d+ s", visit.text(".fresh"))
    assert float(page.evaluate("getComputedStyle(document.querySelector('.map canvas')).opacity")) < 0.6
    server.is_silent = False
    page.wait_for_selector("html:not(.is-stale)")
    running.drop()
    page.wait_for_selector(".fresh.bad")
    assert "no connection" in visit.text(".fresh")
    page.wait_for_selector(".fresh.ok", timeout=15_000)


def test_the_layout_survives_a_reload_and_zoom_an_update(visit: Visit) -> None:
    page = visit.page
    page.click("[aria-label='Colour by'] >> text=Score")
    page.click("[aria-label=Timeframe] >> text=5m")
    page.focus("[role=separator][aria-label='Between charts and candidates']")
    before = int(page.get_attribute("[role=separator][aria-label='Between charts and candidates']", "aria-valuenow") or 0)
    page.keyboard.press("ArrowLeft")
    page.focus(".chart")
    for _ in range(4):
        page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(600)
    zoom = page.evaluate("localStorage['spike.zoom.5']")
    page.wait_for_timeout(1500)                              # several pulses with candles
    assert page.evaluate("localStorage['spike.zoom.5']") == zoom, "an update must not move what is looked at"
    page.keyboard.press("g")
    page.keyboard.press("6")
    page.reload()
    page.wait_for_selector("#view.view-risk")
    visit.open("market")
    assert page.get_attribute("[aria-label='Colour by'] .is-on", "aria-pressed") == "true" and visit.text("[aria-label='Colour by'] .is-on") == "Score"
    assert visit.text("[aria-label=Timeframe] .is-on") == "5m"
    assert int(page.get_attribute("[role=separator][aria-label='Between charts and candidates']", "aria-valuenow") or 0) == before - 2
    page.wait_for_timeout(800)
    assert page.evaluate("localStorage['spike.zoom.5']") == zoom


def test_the_map_is_walked_by_keys_and_told_as_a_table(visit: Visit, running: Running) -> None:
    page, symbols = visit.page, running.server.market.symbols
    page.focus(".map-frame")
    page.keyboard.press("Home")
    first = visit.text(".map .tip b")
    page.keyboard.press("ArrowRight")
    second = visit.text(".map .tip b")
    assert {first, second} <= set(symbols) and first != second
    page.keyboard.press("Enter")
    assert visit.text("[data-panel=candles] h2") == second
    page.click("[aria-label='Shown as'] >> text=Table")
    page.click("[data-table=instruments] [role=columnheader] >> text=Move %")
    page.wait_for_selector("[data-table=instruments] [aria-sort=descending]")
    head = page.locator("[data-table=instruments] [role=columnheader]").all_inner_texts()
    column = next(k for k, text in enumerate(head, 1) if text.startswith("Move"))
    moves = page.locator(f"[data-table=instruments] .vt-body .vt-row [role=gridcell]:nth-child({column})").all_inner_texts()
    values = [float(text.replace("−", "-").replace("+", "")) for text in moves if re.fullmatch(r"[−+]?\d+\.\d+", text)]
    assert len(values) > 5 and values == sorted(values, reverse=True)
    page.keyboard.press("/")
    page.keyboard.type("RELIA")
    page.keyboard.press("Enter")
    assert visit.text("[data-panel=candles] h2") == "RELIANCE"


def test_other_controls_do_what_they_say(visit: Visit, running: Running) -> None:
    page = visit.page
    for name in ("Volume", "Score", "Move"):
        page.click(f"[aria-label='Colour by'] >> text={name}")
    page.click("text=Sectors")
    page.select_option("[data-panel=map] select", "option")
    assert visit.text("[data-panel=map] .panel-note").startswith("76 of ")
    page.click("[data-panel=candles] >> text=Two")
    assert page.locator("[data-panel=candles] .chart").count() == 2
    page.click("[data-panel=candles] >> text=Watched")
    page.click("[data-panel=candles] .fold")
    assert page.locator("[data-panel=candles] .chart").count() == 0
    page.keyboard.press("?")
    page.wait_for_selector("dialog.help")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("open runs")
    page.keyboard.press("Enter")
    page.click("[data-table=runs] .vt-body .vt-row:nth-child(2)")
    page.click("[aria-label='beside paper-27: compare backtest-26']")
    page.wait_for_selector("[data-panel=compare] .pair-b")
    page.click("[aria-label='Kind of run'] >> text=backtest")
    page.click("[data-table=runs] .vt-body .vt-row:nth-child(1)")
    page.click("[data-table=run-trades] .vt-body .vt-row:nth-child(2)")
    page.wait_for_selector("[data-panel=trade-chart] canvas")
    visit.open("log")
    page.select_option("[aria-label='Kind of event']", "errors")
    page.fill("[aria-label='Text in the log']", "stale")
    visit.until("[...document.querySelectorAll('[data-table=log] .log-text')].every(line => line.innerText.includes('stale'))")
    visit.open("trading")
    page.click("[data-table=orders] .vt-body .vt-row:nth-child(2)")
    page.wait_for_selector(".drawer[data-opened=order] .chain")
    page.click("[aria-label=Close]")
    visit.open("options")
    page.select_option("[aria-label=Expiry]", "2027-01-28")
    page.click("text=All Greeks")
    page.wait_for_selector(".option-chain tbody tr")
    page.focus(".plain-wrap")
    assert any("expiry=2027-01-28" in path for path in running.server.asked)


def test_five_thousand_cells_leave_the_page_free(chromium: Any, serving: Callable[[PageServer], Running]) -> None:
    """The issue's figures are of a quiet machine; here the share of time must hold with room for a busy one."""
    running = serving(PageServer(Market(5000, candidates=200), share=1.0))
    visit = Visit(chromium, running.address)
    page = visit.page
    page.wait_for_timeout(2000)
    session = visit.context.new_cdp_session(page)
    session.send("Performance.enable")

    def busy() -> tuple[float, float]:
        found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return found["TaskDuration"], found["Timestamp"]

    sequence = running.server.sequence
    begun = busy()
    page.wait_for_timeout(4000)
    ended = busy()
    frames = running.server.sequence - sequence
    visit.end()
    share = (ended[0] - begun[0]) / (ended[1] - begun[1])
    assert frames >= 20, "the server must have sent frames for the figure to mean anything"
    assert share < 0.5, f"busy {share:.0%} of the time with {frames} frames"


def test_the_frame_reader_reads_what_the_server_packs(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine")
    server = PageServer(Market(20, candidates=5, trades=0, options=False))
    market = server.market
    market.flags[3], market.score[3], market.price[3] = 6, 150, 123_455
    frames = [server.frame(list(range(20)), True), server.frame([3, 7], False)]
    for number, frame in enumerate(frames):
        (tmp_path / f"{number}").write_bytes(frame)
    (tmp_path / "short").write_bytes(frames[0][:-1])
    script = tmp_path / "read.mjs"
    script.write_text(f"""
        import {{ readFileSync }} from 'node:fs';
        import {{ Board }} from '{ROOT}/engine/watch/web/src/frame.js';
        const board = new Board(20), read = (name) => {{ const b = readFileSync('{tmp_path}/' + name);
          return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); }};
        const took = [board.take(read('0'), 1), board.take(read('1'), 2), board.take(read('short'), 3)];
        console.log(JSON.stringify({{ took, price: [...board.price], move: [...board.move], score: board.score[3], flags: board.flags[3],
          changes: board.changes, changed: [...board.changed.slice(0, 2)], now: board.now, missed: board.missed }}));""")
    done = subprocess.run([node, str(script)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["took"] == [True, True, False]
    assert found["price"] == market.price
    assert found["move"] == [round((p / q - 1) * 1e4) for p, q in zip(market.price, market.previous, strict=True)]
    assert (found["score"], found["flags"], found["changes"], found["changed"]) == (150, 6, 2, [3, 7])
    assert (found["now"], found["missed"]) == (market.now_us, 0)
