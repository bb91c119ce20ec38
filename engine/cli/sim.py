"""The local Upstox alone."""
import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import typer

from engine import config as configuration
from engine.cli.options import source_of, speed_of
from engine.trail.rundir import Attendance, RunDir, RunError

app = typer.Typer()


def faulty(market: Any, plus: bool, faults: Path | None) -> tuple[Any, Any]:
    """(rates of order faults, the feed with its script) as a file has them. Raises ConfigurationError."""
    from engine.sim.faults import from_file
    from engine.sim.feed import Feed, script_of

    try:
        rates, script = from_file(faults) if faults is not None else (None, [])
        return rates, Feed(market.specs, plus, script_of(script, market.day, [s.key for s in market.specs]))
    except (OSError, KeyError, ValueError) as error:
        raise configuration.ConfigurationError(f"{faults}: {getattr(error, 'strerror', None) or error}") from None


@app.command()
def sim(host: str = "127.0.0.1", port: int = 0, data: Path | None = None, speed: str = "1", seed: int = 1,
        day: str | None = None, names: int = 208, start: str = "09:15", token: str = "demo",
        mood: str = "normal", contracts: int = -1,
        plus: Annotated[bool, typer.Option(help="an account with Upstox Plus: full_d30 is served")] = False,
        faults: Annotated[Path | None, typer.Option(help=(
            "TOML file: rates of order faults (engine/sim/faults.py), [[feed]] faults by time (engine/sim/feed.py)"))] = None,
        tls_cert: Path | None = None, tls_key: Path | None = None,
        allow_host: Annotated[list[str] | None, typer.Option(help=(
            "a name the sim may be called by besides localhost and --host, such as one of a container; once for each"))] = None,
        address_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
        state_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
        attend: Annotated[Path | None, typer.Option(hidden=True, help="end with the run of this folder")] = None) -> None:
    """Serve a local Upstox: feed V3, orders v3, funds, positions, portfolio stream, candles. Token: demo.

    The market's day begins with the first subscription, order or look at prices. Where the machine is too slow for --speed the
    day runs slower; at its end the sim prints what speed was reached."""
    import ssl

    import uvloop

    from engine.market.sessions import epoch_ms, minute_of_session
    from engine.sim.exchange import Exchange
    from engine.sim.faults import Line
    from engine.sim.server import SimServer, serve_until

    factor = speed_of(speed) or 50.0
    settings = configuration.load()
    market = source_of(data, seed, dt.date.fromisoformat(day) if day else None, names, mood=mood, contracts=contracts)
    first = epoch_ms(market.day, minute_of_session(start))
    rates, feed = faulty(market, plus, faults)
    if data is None:
        market.skip_to(minute_of_session(start))
    else:
        first = int(market.received[0]) - 1000

    async def serve() -> None:
        exchange = Exchange(market.specs, round(settings.risk.account_size * 100))
        server = SimServer(market, exchange, factor, token, first, plus, Line(exchange, rates), feed, [host, *(allow_host or ())])
        context = None
        if tls_cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls_cert, tls_key)
        try:
            bound = await server.start(host, port, context)
        except OSError as error:
            raise RunError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
        if address_file is not None:
            address_file.write_text(f"http://{host}:{bound}\n")
        else:
            print(f"sim of {len(market.specs)} instruments, {market.day}, x{factor:g}, at http://{host}:{bound}, token {token}",
                  flush=True)
        attendance = Attendance(RunDir.existing(attend)) if attend is not None else None
        await serve_until(server, state_file, attendance.is_over if attendance is not None else lambda: False)
        if server.failure is not None:
            raise RunError(f"the market broke off: {type(server.failure).__name__}: {server.failure}")

    uvloop.run(serve())
