"""What Python may look at in a core: the same whoever looks and how often, and nothing beyond the table."""
import pytest

from tests.trade.conftest import SPECS, Desk


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_a_row_beyond_the_table_is_refused_and_not_read(desk):
    beyond = len(SPECS)
    for look in (lambda: desk.core.held(beyond), lambda: desk.core.instrument(beyond),
                 lambda: desk.core.ask_gate(beyond, 1, 49, 100_110)):
        with pytest.raises(IndexError, match="instrument 5: the table has 5"):
            look()
    assert desk.core.held(beyond - 1) == (0, 0) and desk.core.instrument(beyond - 1)["tick"] == 10


def test_what_the_gate_would_say_is_neither_placed_nor_recorded(desk):
    before = desk.core.digest, desk.core.counts()
    assert [desk.core.ask_gate(0, 1, 49, 100_110)[0] for _ in range(20)] == ["pass"] * 20
    assert (desk.core.digest, desk.core.counts()) == before and desk.core.live_orders() == []


def test_an_order_is_found_by_what_the_broker_calls_it(desk):
    _, (entry,) = desk.enter()
    assert desk.core.order_of(b"B1") == 0
    assert desk.core.nameless(0, 1, 49, 100_110, set()) == entry["id"]           # nobody has told its name yet
    assert desk.core.nameless(0, -1, 49, 100_110, set()) == desk.core.nameless(0, 1, 48, 100_110, set()) == 0
    desk.reply(entry)
    assert desk.core.order_of(b"B1") == entry["id"] and desk.core.nameless(0, 1, 49, 100_110, set()) == 0
    assert desk.core.order_of(b"") == desk.core.order_of(b"B") == 0


def test_an_order_is_settled_once_its_end_and_its_price_are_told(desk):
    assert desk.core.is_settled(0) and desk.core.is_settled(77) and not desk.core.has_open_questions()
    _, (entry,) = desk.enter()
    desk.reply(entry)
    desk.update(entry, 2)
    assert not desk.core.is_settled(1) and desk.core.has_open_questions()
    assert [o["id"] for o in desk.core.live_orders()] == [1]
    desk.update(entry, 4)
    assert desk.core.is_settled(1) and not desk.core.has_open_questions()
    assert desk.core.live_orders() == [] and [o["id"] for o in desk.core.orders()] == [1]
