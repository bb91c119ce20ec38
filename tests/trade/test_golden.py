"""The wire: request bodies equal the golden files byte for byte and load into the SDK's models; the sim's answers load into the
SDK's response models with nothing missing and nothing unknown."""
import datetime as dt
import inspect
from pathlib import Path

import numpy as np
import orjson
import pytest
import upstox_client
from upstox_client import models

from _ext.core.records import INTENT, INTENT_MODIFY, INTENT_PLACE, OUTCOME_AMBIGUOUS, OUTCOME_HALT, OUTCOME_REFUSED, OUTCOME_RETRY
from engine.broker.base import Request
from engine.broker.upstox import protocol
from engine.market.instruments import Instrument
from engine.sim.exchange import Exchange
from engine.sim.market import SyntheticMarket
from engine.sim.rest import Rest
from engine.trade.tags import intent_of, read_tag, tag_of

GOLDEN = Path(__file__).parents[2] / "proto" / "orders"
KEY = "NSE_EQ|INE002A01018"
PLAIN = {"int": int, "float": (int, float), "str": str, "bool": bool, "object": object, "datetime": str}


def intent(**fields) -> np.void:
    row = np.zeros(1, INTENT)
    for name, value in fields.items():
        row[name] = value
    return row[0]


CASES = {
    "place_buy_limit": intent(id=7, kind=1, role=1, side=1, order_type=1, quantity=49, price=100_110),
    "place_sell_limit": intent(id=8, kind=1, role=1, side=-1, order_type=1, quantity=12, price=99_895),
    "place_sell_stop": intent(id=9, kind=1, role=2, side=-1, order_type=2, quantity=49, price=97_510, trigger=98_000),
    "place_buy_stop": intent(id=10, kind=1, role=2, side=1, order_type=2, quantity=12, price=102_400, trigger=101_900),
    "modify_stop_to_limit": intent(id=9, kind=2, role=2, side=-1, order_type=1, quantity=49, price=104_000,
                                   order_id=b"240221025997024"),
    "modify_stop": intent(id=9, kind=2, role=2, side=-1, order_type=2, quantity=60, price=97_510, trigger=98_000,
                          order_id=b"240221025997024"),
    "cancel": intent(id=7, kind=3, role=1, side=1, order_type=1, order_id=b"240221025997024"),
}


def request_of(name: str) -> Request:
    case = CASES[name]
    return protocol.request_of(case, KEY, tag_of("spk", "a1b2c3", int(case["id"]), int(case["role"])))


@pytest.mark.parametrize("name", sorted(CASES))
def test_requests_equal_the_golden_files(name):
    request = request_of(name)
    document = {"method": request.method, "path": request.path, "params": request.params, "body": request.body}
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    assert text == (GOLDEN / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", sorted(CASES))
def test_requests_load_into_the_sdks_models(name):
    request = request_of(name)
    if request.body is None:
        assert set(request.params) == {"order_id"} <= set(inspect.signature(upstox_client.OrderApiV3.cancel_order).parameters)
        return
    model = models.PlaceOrderV3Request if request.method == "POST" else models.ModifyOrderRequest
    assert set(request.body) <= set(model.swagger_types), "a field the SDK does not know"
    loaded = model(**request.body)                         # raises where a required field is missing
    for field, value in request.body.items():
        assert getattr(loaded, field) == value and isinstance(value, PLAIN[model.swagger_types[field]])


def test_tags_are_short_unique_and_read_back():
    tag = tag_of("spk", "a1b2c3", 2**63 - 1, 2)
    assert len(tag) <= 40 and intent_of(tag, "spk", ["a1b2c3"]) == 2**63 - 1
    assert intent_of(tag, "spk", ["other"]) == 0 and read_tag(tag, "else") is None
    for foreign in (None, "", "a.b", "spk.a.x.e", "spk.a.²3.e", "x" * 400, "spk.a1b2c3.99999999999999999999.e"):
        assert intent_of(foreign, "spk", ["a1b2c3", "a"]) == 0


# ---- what the sim answers -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def rest() -> Rest:
    """A sim with an open position, a working stop and a rejected order."""
    specs = [Instrument(KEY, "RELIANCE", tick=10, price=140_000), Instrument("NSE_EQ|INE467B01029", "TCS", tick=10, price=300_000)]
    exchange = Exchange(specs, 100_000_000)
    market = SyntheticMarket(specs, dt.date(2026, 9, 1), 1)
    for _, (at, rows, _) in zip(range(400), market.frames(), strict=False):
        exchange.on_rows(rows, at * 1_000_000)
        now = at * 1_000_000
    rest = Rest(exchange)
    last = exchange.last(KEY) // 10 * 10
    for side, kind, price, trigger in (("BUY", "LIMIT", last * 102 // 1000 * 10, 0),
                                       ("SELL", "SL", last * 97 // 1000 * 10, last * 98 // 1000 * 10),
                                       ("BUY", "LIMIT", last + 1, 0)):
        body = {"quantity": 10, "product": "I", "validity": "DAY", "price": price / 100, "tag": "spk.t.1.e", "slice": False,
                "instrument_token": KEY, "order_type": kind, "transaction_type": side, "disclosed_quantity": 0,
                "trigger_price": trigger / 100, "is_amo": False}
        now += 200_000_000
        assert rest.call("POST", "/v3/order/place", body, None, now)[0] == 200
    rest.now = now + 1_000_000_000
    assert exchange.net(KEY) == 10
    return rest


def check(value, kind: str, path: str) -> None:
    """`value` is what the SDK's swagger type `kind` says, down to the last field: none unknown, none of another type."""
    if value is None:
        return
    if kind.startswith("list["):
        assert isinstance(value, list), path
        for item in value:
            check(item, kind[5:-1], path + "[]")
    elif kind.startswith("dict("):
        for name, item in value.items():
            check(item, kind[5:-1].split(", ")[1], f"{path}.{name}")
    elif kind in PLAIN:
        assert isinstance(value, PLAIN[kind]), f"{path}: {value!r} is no {kind}"
    else:
        model = getattr(models, kind)
        known = {model.attribute_map[name]: inner for name, inner in model.swagger_types.items()}
        unknown = set(value) - set(known)
        assert not unknown, f"{path}: {kind} has no {unknown}"
        for name, item in value.items():
            check(item, known[name], f"{path}.{name}")


RESPONSES = [
    ("GET", "/v2/order/retrieve-all", {}, None, "GetOrderBookResponse"),
    ("GET", "/v2/order/details", {"order_id": "*"}, None, "GetOrderDetailsResponse"),
    ("GET", "/v2/order/trades/get-trades-for-day", {}, None, "GetTradeResponse"),
    ("GET", "/v2/order/trades", {"order_id": "*"}, None, "GetTradeResponse"),
    ("GET", "/v2/charges/historical-trades", {}, None, "TradeHistoryResponse"),
    ("GET", "/v2/portfolio/short-term-positions", {}, None, "GetPositionResponse"),
    ("GET", "/v2/user/get-funds-and-margin", {}, None, "GetUserFundMarginResponse"),
    ("GET", "/v3/user/get-funds-and-margin", {}, None, "GetUserFundMarginV3Response"),
    ("GET", "/v2/user/profile", {}, None, "GetProfileResponse"),
    ("GET", "/v2/user/ip", {}, None, "UserIpResponse"),
    ("GET", "/v2/user/kill-switch", {}, None, "KillSwitchResponse"),
    ("GET", "/v2/charges/brokerage", {"instrument_token": KEY, "quantity": "10", "product": "I", "transaction_type": "SELL",
                                      "price": "1400.0"}, None, "GetBrokerageResponse"),
    ("POST", "/v2/charges/margin", {}, {"instruments": [{"instrument_key": KEY, "quantity": 10, "product": "I",
                                                         "transaction_type": "BUY", "price": 1400.0}]}, "PostMarginResponse"),
    ("GET", "/v3/market-quote/quotes", {"instrument_key": KEY}, None, "GetFullMarketQuoteResponseV3"),
    ("GET", "/v3/market-quote/ltp", {"instrument_key": KEY}, None, "GetMarketQuoteLastTradedPriceResponseV3"),
    ("GET", "/v2/market/status/NSE", {}, None, "GetMarketStatusResponse"),
    ("GET", "/v2/market/timings/2026-09-01", {}, None, "GetExchangeTimingResponse"),
    ("GET", "/v2/market/holidays", {}, None, "GetHolidayResponse"),
    ("DELETE", "/v2/order/multi/cancel", {"tag": "nobody's"}, None, "CancelOrExitMultiOrderResponse"),
    ("PUT", "/v3/order/modify", {}, {"order_id": "*stop", "quantity": 10, "validity": "DAY", "price": 1300.0, "order_type": "SL",
                                     "trigger_price": 1310.0, "disclosed_quantity": 0}, "ModifyOrderV3Response"),
    ("DELETE", "/v3/order/cancel", {"order_id": "*stop"}, None, "CancelOrderV3Response"),
    ("POST", "/v2/order/positions/exit", {}, None, "CancelOrExitMultiOrderResponse"),
]


@pytest.mark.parametrize(("method", "path", "params", "body", "model"), RESPONSES, ids=[r[0] + r[1] for r in RESPONSES])
def test_the_sims_answers_load_into_the_sdks_models(rest, method, path, params, body, model):
    orders = list(rest.exchange.orders.values())
    ids = {"*": orders[0].order_id, "*stop": orders[1].order_id}
    params = {name: ids.get(value, value) for name, value in params.items()}
    body = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in body.items()} if body else body
    rest.now += 100_000_000
    status, answer = rest.call(method, path, body, params, rest.now)
    assert status == 200 and answer["status"] == "success", answer
    answer = orjson.loads(orjson.dumps(answer))
    for row in answer["data"] if isinstance(answer["data"], list) else [answer["data"]]:
        if isinstance(row, dict):
            row.pop("instrument_key", None)                # the stream's spelling of instrument_token, which the book repeats
    check(answer, model, model)
    loaded = upstox_client.ApiClient()._ApiClient__deserialize(answer, model)
    assert loaded.status == "success" and loaded.data is not None


ERRORS = [
    ("POST", "/v3/order/place", {}, 400, "UDAPI100036"),
    ("POST", "/v3/order/place", {"quantity": 1, "instrument_token": "NSE_EQ|nobody"}, 400, "UDAPI100011"),
    ("POST", "/v3/order/place", {"quantity": 0}, 400, "UDAPI1052"),
    ("POST", "/v3/order/place", {"quantity": 1, "tag": "x" * 41}, 400, "UDAPI1119"),
    ("POST", "/v3/order/place", {"quantity": 1, "order_type": "MARKET", "market_protection": 0}, 400, "UDAPI1158"),
    ("PUT", "/v3/order/modify", {"order_id": "0"}, 400, "UDAPI100010"),
    ("DELETE", "/v3/order/cancel", None, 400, "UDAPI100010"),
    ("GET", "/v2/order/history", None, 400, "UDAPI100059"),
    ("GET", "/v2/market/status/MCX_FO", None, 400, "UDAPI1089"),
    ("GET", "/v9/nothing", None, 404, "UDAPI100060"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), ERRORS)
def test_errors_have_the_brokers_shape_and_codes(rest, method, path, body, status, code):
    if body:
        body = {"product": "I", "validity": "DAY", "price": 100.0, "instrument_token": KEY, "order_type": "LIMIT",
                "transaction_type": "BUY", "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False} | body
    rest.now += 100_000_000
    got, answer = rest.call(method, path, body, {}, rest.now)
    assert got == status and "data" not in answer and answer["status"] == "error"
    error = answer["errors"][0]
    assert error["errorCode"] == error["error_code"] == code
    assert protocol.verdict_of(INTENT_PLACE, got, answer)[0] == OUTCOME_REFUSED


@pytest.mark.parametrize(("status", "code", "place", "modify"), [
    (0, "", OUTCOME_AMBIGUOUS, OUTCOME_AMBIGUOUS), (500, "UDAPI100500", OUTCOME_AMBIGUOUS, OUTCOME_AMBIGUOUS),
    (502, "", OUTCOME_AMBIGUOUS, OUTCOME_AMBIGUOUS), (503, "", OUTCOME_AMBIGUOUS, OUTCOME_AMBIGUOUS),
    (429, "UDAPI10005", OUTCOME_RETRY, OUTCOME_RETRY), (423, "", OUTCOME_RETRY, OUTCOME_RETRY),
    (400, "UDAPI100074", OUTCOME_RETRY, OUTCOME_RETRY), (400, "UDAPI100057", OUTCOME_RETRY, OUTCOME_RETRY),
    (401, "UDAPI100050", OUTCOME_HALT, OUTCOME_HALT), (403, "UDAPI1154", OUTCOME_HALT, OUTCOME_HALT),
    (400, "UDAPI1156", OUTCOME_HALT, OUTCOME_HALT), (400, "UDAPI1161", OUTCOME_HALT, OUTCOME_HALT),
    (400, "UDAPI100041", OUTCOME_REFUSED, OUTCOME_REFUSED), (400, "UDAPI1158", OUTCOME_REFUSED, OUTCOME_REFUSED),
    (400, "", OUTCOME_REFUSED, OUTCOME_REFUSED),
])
def test_outcomes_of_each_class_of_codes(status, code, place, modify):
    body = {"status": "error", "errors": [{"errorCode": code, "message": "\x1b[31m<b>x</b>"}]} if status else None
    assert protocol.verdict_of(INTENT_PLACE, status, body)[0] == place
    assert protocol.verdict_of(INTENT_MODIFY, status, body)[0] == modify


@pytest.mark.parametrize("body", [None, {}, [], "text", {"status": "success"}, {"status": "success", "data": None},
                                  {"status": "success", "data": {"order_ids": []}},
                                  {"status": "error", "data": {"order_ids": ["1"]}}])
def test_a_success_that_cannot_be_understood_is_ambiguous(body):
    """The order may exist: it is looked up, never sent again."""
    assert protocol.verdict_of(INTENT_PLACE, 200, body)[0] == OUTCOME_AMBIGUOUS
