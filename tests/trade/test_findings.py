"""Errors the oracle found: each of these fails today."""
from _ext.core.records import STATUS_COMPLETE
from tests.trade.test_venue import BUY, DEEP, Market

HIGHER = ((10, 1_045, 7, 1_050), (20, 1_040, 30, 1_055))


def test_an_order_meets_the_last_book_shown_though_the_last_update_had_none(tmp_path):
    """An earlier order saw the book at 1,000; the book went to 1,050; then a trade without a book came."""
    market = Market(tmp_path, (DEEP, 1_000), (HIGHER, 1_050), ((), 1_050), ((), 1_050))
    market.to(0)
    market.place(BUY, 1, 1_000)                              # the venue looks at the name
    market.to(2)
    assert market.had(market.place(BUY, 5, 1_055)) == (STATUS_COMPLETE, 5, 5 * 1_050)        # today 5 * 1,000


def test_an_order_meets_the_last_book_shown_though_the_venue_had_never_looked(tmp_path):
    market = Market(tmp_path, (DEEP, 1_000), ((), 1_000))
    market.to(1)
    assert market.had(market.place(BUY, 5, 1_005)) == (STATUS_COMPLETE, 5, 5_000)            # today open, 0


def test_of_two_orders_at_a_price_the_earlier_is_filled_first(tmp_path):
    """Today the younger is; and once an order of any name ends, the order in the list, so who is first, is another."""
    market = Market(tmp_path, (DEEP, 1_000), (((10, 990, 5, 995),), 1_000))
    market.to(0)
    first, second = market.place(BUY, 5, 995), market.place(BUY, 5, 995)
    market.to(1)
    assert (market.had(first)[1], market.had(second)[1]) == (5, 0)


def test_what_a_trade_earned_is_what_was_got_less_what_was_paid(make_desk):
    """An entry is filled in two parts, and the stop's first fill comes between them."""
    desk = make_desk(daily_loss=0.5, drawdown=0.5)
    _, (entry,) = desk.enter(0, 1)
    n = int(entry["quantity"])
    desk.reply(entry)
    (stop,) = desk.update(entry, 2, 10, 100_000)             # 10 bought at 1,000
    desk.reply(stop)
    desk.update(stop, 3, 10, 98_000)                         # and stopped out at 980: -200
    more = desk.update(entry, 3, n, 99_000)                  # the rest is bought, an average of 990 over all
    paid = n * 99_000
    (second,) = more
    desk.reply(second)
    desk.update(second, 3, n - 10, 99_000)
    got = 10 * 98_000 + (n - 10) * 99_000
    assert desk.core.money()["realised"] == got - paid
