"""The official SDK against the sim, changed only in host names: streams in every mode, places, modifies, cancels."""
import re
import subprocess
import sys
import threading
import time

import pytest

KEYS = 6


@pytest.fixture(scope="module", params=[False, True], ids=["standard", "plus"])
def address(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("sim") / "address"
    process = subprocess.Popen([sys.executable, "-m", "engine", "sim", "--names", str(KEYS), "--speed", "20", "--address-file",
                                str(path), *(["--plus"] if request.param else [])])
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    yield path.read_text().strip(), request.param
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def sdk(address):
    """(module, configuration) of the SDK, its literal hosts pointed at the sim."""
    import upstox_client
    import upstox_client.feeder.market_data_feeder_v3 as feeder
    import upstox_client.feeder.portfolio_data_feeder as portfolio
    import websocket

    address, has_plus = address
    socket = address.replace("http", "ws")

    class LocalApp(websocket.WebSocketApp):
        def __init__(self, url, **options):
            super().__init__(url.replace("wss://api.upstox.com", socket), **options)

    class Shim:
        WebSocketApp = LocalApp
        ABNF = websocket.ABNF

    feeder.websocket = portfolio.websocket = Shim
    configuration = upstox_client.Configuration()
    configuration.access_token = "demo"
    configuration.host = configuration.order_host = address
    return upstox_client, configuration, has_plus


def keys() -> list[str]:
    from engine.market.instruments import shipped
    return [s.key for s in shipped()[:KEYS]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("mode", "word"), [("ltpc", "ltpc"), ("full", "fullFeed"), ("option_greeks", "firstLevelWithGreeks")])
def test_streams_in_every_mode(sdk, mode, word):
    upstox, configuration, _ = sdk
    messages, done = [], threading.Event()
    streamer = upstox.MarketDataStreamerV3(upstox.ApiClient(configuration), keys(), mode)

    def take(message):
        messages.append(message)
        if len(messages) > 30:
            done.set()

    streamer.on("message", take)
    streamer.connect()
    assert done.wait(20), f"{len(messages)} messages in mode {mode}"
    streamer.disconnect()
    assert messages[0]["type"] == "market_info" and messages[0]["marketInfo"]["segmentStatus"]["NSE_EQ"] == "NORMAL_OPEN"
    assert "type" not in messages[1]                                   # initial_feed: proto3's default is not written
    live = [m for m in messages if m.get("type") == "live_feed"]
    assert live and all(word in feed for m in live for feed in m["feeds"].values())
    time.sleep(0.3)


@pytest.mark.filterwarnings("ignore")
def test_full_d30_is_served_with_plus_and_ignored_in_silence_without(sdk):
    upstox, configuration, has_plus = sdk
    messages = []
    streamer = upstox.MarketDataStreamerV3(upstox.ApiClient(configuration), keys(), "full_d30")
    streamer.on("message", messages.append)
    streamer.connect()
    time.sleep(1.5)
    streamer.disconnect()
    live = [m for m in messages if m.get("type") == "live_feed"]
    if has_plus:
        assert live and all(feed["requestMode"] == "full_d30" for m in live for feed in m["feeds"].values())
    else:
        assert [m["type"] for m in messages] == ["market_info"]
    time.sleep(0.3)


@pytest.mark.filterwarnings("ignore")
def test_places_modifies_and_cancels(sdk):
    upstox, configuration, _ = sdk
    api = upstox.OrderApiV3(upstox.ApiClient(configuration))
    updates = []
    stream = upstox.PortfolioDataStreamer(upstox.ApiClient(configuration))
    stream.on("message", updates.append)
    stream.connect()
    time.sleep(1)
    last = upstox.MarketQuoteV3Api(upstox.ApiClient(configuration)).get_ltp(instrument_key=keys()[0]).data
    low = round(next(iter(last.values())).last_price * 0.95)               # inside the price band, and not filled
    placed = api.place_order(upstox.PlaceOrderV3Request(
        quantity=1, product="I", validity="DAY", price=low, tag="sdk", instrument_token=keys()[0], order_type="LIMIT",
        transaction_type="BUY", disclosed_quantity=0, trigger_price=0.0, is_amo=False, slice=False))
    order_id = placed.data.order_ids[0]
    changed = api.modify_order(upstox.ModifyOrderRequest(
        order_id=order_id, validity="DAY", price=low + 1, order_type="LIMIT", trigger_price=0.0, quantity=2, disclosed_quantity=0))
    assert changed.data.order_id == order_id
    book = upstox.OrderApi(upstox.ApiClient(configuration)).get_order_book("2.0")
    row = next(o for o in book.data if o.order_id == order_id)
    assert (row.status, row.price, row.quantity, row.tag) == ("open", low + 1, 2, "sdk")
    assert api.cancel_order(order_id).data.order_id == order_id
    with pytest.raises(upstox.rest.ApiException) as refused:
        api.cancel_order(order_id)
    assert re.search("UDAPI100040", str(refused.value.body))
    time.sleep(0.5)
    stream.disconnect()
    seen = "".join(map(str, updates))
    assert order_id in seen and "cancelled" in seen
