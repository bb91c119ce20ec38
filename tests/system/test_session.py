"""A simulated run ends with its session: all of the market was sent in time, and the summary follows."""
import orjson

from engine.market.sessions import minute_of_session
from engine.sim.markets import market_of

NAMES, START = 12, "15:13"


def test_a_run_ends_by_itself_after_its_session(cli):
    run_dir = cli.base / "short"
    said = cli.run("run", "--names", str(NAMES), "--speed", "50", "--start", START, "--no-store", "--run-dir", str(run_dir),
                   timeout=120)
    market = market_of(None, 3, None, NAMES, mood="lively")
    market.skip_to(minute_of_session(START))
    frames, updates = 0, NAMES                             # each name has its snapshot before its first update
    for _, rows, _ in market.frames():
        frames, updates = frames + 1, updates + len(rows)
    assert f"{updates:,} updates of {NAMES} instruments" in said and "next: " in said
    told = orjson.loads((run_dir / "sim.json").read_bytes())
    assert told["has_ended"] and told["asked"] == 50 and told["late_ms"]["frames"] == frames
    assert told["late_ms"]["p999"] <= 100
    assert "x50 asked, x" in (run_dir / "sim.out").read_text().splitlines()[-1]
    assert cli.json("replay", str(run_dir))["identical"]
