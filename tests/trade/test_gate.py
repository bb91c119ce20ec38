"""The gate as a truth table: one row a reason; then the limits at their edges."""
import pytest

from engine.market.sessions import epoch_ms
from tests.trade.conftest import DAY


def test_a_sane_entry_passes(desk):
    reason, intents = desk.enter()
    assert reason == "pass" and len(intents) == 1
    placed = intents[0]
    assert (placed["kind"], placed["role"], placed["side"], placed["order_type"]) == (1, 1, 1, 1)
    assert placed["price"] == 100_110                      # best ask 100,010 and 0.1 % beyond it, on the grid
    assert placed["quantity"] == 5_000_000 // 100_110      # 5 % of Rs 10 lakh at the limit price


def closed(desk): desk.operator(1)
def killed(desk): desk.operator(3)
def feed_down(desk): desk.link(0, False)
def orders_down(desk): desk.link(1, False)
def early(desk): desk.now = epoch_ms(DAY, -20) * 1_000_000
def late(desk): desk.now = epoch_ms(DAY, 346) * 1_000_000
def stale(desk): desk.now += 6_000_000_000
def one_sided(desk): desk.tick(bid=0)
def crossed(desk): desk.tick(bid=100_020, ask=100_010)
def poor(desk): desk.funds(90_000)


@pytest.mark.parametrize(("spoil", "reason"), [
    (closed, "operator"), (killed, "operator"), (feed_down, "feed down"), (orders_down, "feed down"),
    (early, "outside session"), (late, "outside session"), (stale, "stale quote"), (one_sided, "no quote"),
    (crossed, "no quote"), (poor, "size below one lot"),
])
def test_each_reason_denies(desk, spoil, reason):
    spoil(desk)
    assert desk.enter() == (reason, [])


def test_unknown_money_denies(make_desk):
    desk = make_desk()
    desk.funds(0)
    assert desk.enter()[0] in ("size below one lot", "unknown number")


def test_one_position_a_name_and_three_in_all(desk):
    assert desk.enter(0)[0] == "pass"
    assert desk.enter(0)[0] == "already in this name"
    assert desk.enter(1)[0] == "pass"
    assert desk.enter(2)[0] == "pass"
    assert desk.enter(3)[0] == "too many positions"


def test_leverage_bounds_all_positions_together(make_desk):
    desk = make_desk(leverage=0.12, max_positions=10)
    assert [desk.enter(i)[0] for i in range(2)] == ["pass", "pass"]
    reason, intents = desk.enter(2)                        # sized into what is left
    assert reason == "pass" and 2 * 49 * 100_110 + intents[0]["quantity"] * intents[0]["price"] <= 12_000_000
    assert desk.enter(3)[0] == "size below one lot"


def finish(desk, intents):
    """The entry is refused: its slot is free again, its order counted."""
    desk.reply(intents[0], outcome=2, code=400)


def test_gap_between_orders_of_a_name(desk):
    finish(desk, desk.enter(0)[1])
    assert desk.enter(0)[0] == "too soon in this name"
    desk.tick(0, seconds=31)
    assert desk.enter(0)[0] == "pass"


def test_orders_a_minute_an_hour_a_day(make_desk):
    for name, limit, reason in (("m", {"orders_per_minute": 2}, "orders a minute"), ("h", {"orders_per_hour": 2}, "orders an hour"),
                                ("d", {"orders_per_day": 2}, "orders a day")):
        desk = make_desk(name, symbol_gap_s=0, **limit)
        for _ in range(2):
            finish(desk, desk.enter(0)[1])
        assert desk.enter(0)[0] == reason


def test_daily_loss_stops_entries(make_desk):
    desk = make_desk(daily_loss=0.001)
    _, (entry,) = desk.enter(0)
    desk.reply(entry)
    desk.update(entry, 3, int(entry["quantity"]))
    desk.tick(0, mid=97_500)                               # 2.5 % against us: Rs 1,225 of Rs 1,000 allowed
    assert desk.enter(1)[0] == "daily loss"
    desk.timer()
    assert desk.enter(1)[0] == "not running"               # and the engine goes to REDUCING by itself
