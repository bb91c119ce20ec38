"""The browser page's controls, in the Chromium of this machine: operations, layout, keys; and what the page costs."""
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.watch.page_market import ROOT, Market
from tests.watch.page_server import PageServer
from tests.watch.page_visit import MINUS, Running, Visit

pytestmark = pytest.mark.browser


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
    page.wait_for_selector(".notes .chip:has-text('news')")
    assert [[one["text"] for one in of] for of in running.server.notes.values()] == [["the news came first #news"]]
    assert page.input_value(".note-form input") == "" and running.server.operations == []
    page.click(".notes button[aria-label^='Take the note']")
    page.wait_for_selector(".notes", state="detached")


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
    page.wait_for_timeout(1500)  # several pulses with candles
    assert page.evaluate("localStorage['spike.zoom.5']") == zoom, "an update must not move what is looked at"
    page.keyboard.press("g")
    page.keyboard.press("6")
    page.reload()
    page.wait_for_selector("#view.view-risk")
    visit.open("market")
    assert (
        page.get_attribute("[aria-label='Colour by'] .is-on", "aria-pressed") == "true"
        and visit.text("[aria-label='Colour by'] .is-on") == "Score"
    )
    assert visit.text("[aria-label=Timeframe] .is-on") == "5m"
    assert (
        int(page.get_attribute("[role=separator][aria-label='Between charts and candidates']", "aria-valuenow") or 0) == before - 2
    )
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
    values = [float(text.replace(MINUS, "-").replace("+", "")) for text in moves if re.fullmatch(rf"[{MINUS}+]?\d+\.\d+", text)]
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
    page.click("[data-table=runs] .vt-row:has-text('whatif-25')")
    page.wait_for_selector("[data-panel=whatif] td:has-text('the stop came earlier')")
    page.click("[data-table=runs] .vt-row:has-text('backtest-26')")
    page.click("[aria-label='beside backtest-26: compare backtest-22']")
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
    assert page.locator(".option-chain tbody tr").count() == 19


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
        console.log(JSON.stringify({{ took, price: [...board.price], move: [...board.move],
          score: board.score[3], flags: board.flags[3],
          changes: board.changes, changed: [...board.changed.slice(0, 2)], now: board.now, missed: board.missed }}));""")
    done = subprocess.run([node, str(script)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["took"] == [True, True, False]
    assert found["price"] == market.price
    assert found["move"] == [round((p / q - 1) * 1e4) for p, q in zip(market.price, market.previous, strict=True)]
    assert (found["score"], found["flags"], found["changes"], found["changed"]) == (150, 6, 2, [3, 7])
    assert (found["now"], found["missed"]) == (market.now_us, 0)
