"""The oracle of the decoder: upb, from proto/MarketDataFeed.proto compiled at test time into a pool of its own
(the SDK registers the same names in the default pool)."""
import tempfile
from functools import cache
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

PROTO = Path(__file__).parents[2] / "proto" / "MarketDataFeed.proto"
PACKAGE = "com.upstox.marketdatafeederv3udapi.rpc.proto"


@cache
def schema() -> descriptor_pool.DescriptorPool:
    """The schema, compiled once."""
    import grpc_tools
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.bin"
        wrappers = Path(grpc_tools.__file__).parent / "_proto"
        code = protoc.main(["protoc", f"-I{PROTO.parent}", f"-I{wrappers}", f"--descriptor_set_out={out}", str(PROTO)])
        assert code == 0, "protoc could not compile the schema"
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    for file in files.file:
        pool.Add(file)
    return pool


@cache
def message(name: str) -> type:
    """The upb class of `name`, for example FeedResponse."""
    return message_factory.GetMessageClass(schema().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def paise(rupees: float) -> int | None:
    """Rupees to paise, half to even; None for what the engine refuses."""
    return round(rupees * 100.0) if abs(rupees) <= 1e13 else None


def expected_rows(frame: bytes) -> dict[bytes, dict] | None:
    """What the engine's decoder should say of `frame`: key -> fields, or None where upb rejects it."""
    from google.protobuf.message import DecodeError

    try:
        response = message("FeedResponse").FromString(frame)
    except DecodeError:
        return None
    return {key.encode(): feed_fields(feed) for key, feed in response.feeds.items()}


def feed_fields(feed) -> dict:
    """One feed flattened to the names of TICK_DTYPE; prices in paise (None: refused), absent sub-messages absent."""
    row: dict = {"mode": feed.requestMode, "n_levels": 0}
    member = feed.WhichOneof("FeedUnion")
    if member == "ltpc":
        row |= ltpc_fields(feed.ltpc)
    elif member == "fullFeed":
        body = feed.fullFeed.WhichOneof("FullFeedUnion")
        if body == "marketFF":
            row |= market_fields(feed.fullFeed.marketFF)
        elif body == "indexFF":
            row |= common_fields(feed.fullFeed.indexFF, "marketOHLC")
    elif member == "firstLevelWithGreeks":
        first = feed.firstLevelWithGreeks
        row |= common_fields(first, None) | {"vtt": first.vtt, "oi": first.oi, "iv": first.iv}
        if first.HasField("firstDepth"):
            row |= {"n_levels": 1, "levels": [quote(first.firstDepth)]}
    return row


def market_fields(full) -> dict:
    row = common_fields(full, "marketOHLC")
    row |= {name: paise(getattr(full, name)) for name in ("atp", "rp")}
    row |= {name: getattr(full, name) for name in ("vtt", "oi", "iv", "tbq", "tsq", "ieq", "iiqTotal", "iiqM")}
    row |= {"auction_iep": paise(full.iep), "casEligible": int(full.casEligible)}
    if full.HasField("marketLevel"):
        levels = [quote(q) for q in full.marketLevel.bidAskQuote]
        row |= {"n_levels": len(levels), "levels": levels[:5]}
    return row


def common_fields(body, candles: str | None) -> dict:
    row: dict = {}
    if body.HasField("ltpc"):
        row |= ltpc_fields(body.ltpc)
    if candles and body.HasField(candles):
        for candle in getattr(body, candles).ohlc:
            name = {"1d": "day", "I1": "i1"}.get(candle.interval)
            if name:
                prices = tuple(paise(getattr(candle, f)) for f in ("open", "high", "low", "close"))
                row[name] = (*prices, candle.vol, candle.ts)
    if "optionGreeks" in body.DESCRIPTOR.fields_by_name and body.HasField("optionGreeks"):
        row |= {f: getattr(body.optionGreeks, f) for f in ("delta", "theta", "gamma", "vega", "rho")}
    return row


def ltpc_fields(ltpc) -> dict:
    row = {"ltp": paise(ltpc.ltp), "ltt": ltpc.ltt, "ltq": ltpc.ltq, "cp": paise(ltpc.cp)}
    return row | ({"iep": paise(ltpc.iep.value)} if ltpc.HasField("iep") else {})


def quote(q) -> tuple:
    return q.bidQ, paise(q.bidP), q.askQ, paise(q.askP)


def is_refused(row: dict) -> bool:
    """Whether any price of the row is one the engine drops the update for."""
    return any(value is None or (isinstance(value, (tuple, list)) and any(
        part is None or (isinstance(part, tuple) and None in part) for part in value)) for value in row.values())
