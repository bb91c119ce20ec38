"""The browser page, in the Chromium of this machine, against the small server of page_server: every panel, and what it says.

The page's bundle is what `make install` made. COUNTS=soak walks it in phone and desktop widths, light and dark; else in one.
"""
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.counts import count
from tests.watch.page_market import OPEN_US, ROOT, SECOND, Market
from tests.watch.page_server import PageServer
from tests.watch.page_visit import MINUS, Running, Visit

pytestmark = pytest.mark.browser
AXE = ROOT / "build/page/node_modules/axe-core/axe.min.js"
LOOKS = count(
    [(1440, "dark")], [(1440, "dark"), (390, "light")], [(width, scheme) for width in (390, 1440) for scheme in ("light", "dark")]
)
TABS = ("market", "trading", "money", "feed", "options", "risk", "models", "log", "runs")
PANELS = {
    "market": ("map", "candles", "candidates"),
    "trading": ("positions", "orders", "trades"),
    "money": ("figures", "equity", "sources", "broker"),
    "feed": ("feed", "latency", "gaps"),
    "options": ("chain",),
    "risk": ("limits", "budgets", "alarms"),
    "models": ("active", "drift", "known"),
    "log": ("alerts", "log"),
    "runs": ("runs", "one"),
}


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
    faults = [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:4]
    ]
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
    groups = [head[max(0, k - 2) : k] for k in range(len(head), 0, -2)][::-1]
    sign = MINUS if paise < 0 else "+" if plus and paise else ""
    return f"{sign}{','.join([*groups, tail])}.{part:02d}"


def test_a_refused_candidate_says_which_rule_and_by_how_much(visit: Visit, running: Running) -> None:
    page = visit.page
    page.select_option("[aria-label='Filter by verdict']", "refused")
    visit.until("!document.querySelector('[data-table=candidates] .vt-row.watched')")
    page.locator("[data-table=candidates] .vt-body .vt-row").nth(2).click()
    number = int(page.evaluate("location.hash.split('/').pop()"))
    row = running.server.market.candidates[number - 1]
    page.wait_for_selector(".drawer .seen")
    assert visit.text(".why h3").lower().endswith(row["reason"])
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
    visit.until(
        "[...document.querySelectorAll('[data-table=candidates] .vt-body .vt-row')].some(row => row.ariaRowIndex > 9990 && "
        "!row.classList.contains('is-loading'))",
        timeout_s=20,
    )
    took = page.evaluate("""() => new Promise((done) => {
        const begun = performance.now();
        new MutationObserver((_, watcher) => {
          if (!document.querySelector('.drawer .chain')) return;
          watcher.disconnect();
          requestAnimationFrame(() => done(performance.now() - begun));
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
    page.click(f"text={MINUS}10 min")
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
