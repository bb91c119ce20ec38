"""The local Upstox alone."""
from pathlib import Path
from typing import Any

import typer

from engine import config as configuration
from engine.cli.typed import options_of
from engine.run.options import SPEED_MAX, SimOptions
from engine.trail.rundir import Attendance, RunDir, RunError

app = typer.Typer(add_completion=False)


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
@options_of(SimOptions)
def sim(options: SimOptions) -> None:
    """Serve a local Upstox: feed V3, orders v3, funds, positions, portfolio stream, candles. Token: demo.

    The market's day begins with the first subscription, order or look at prices. Where the machine is too slow for --speed the
    day runs slower; at its end the sim prints what speed was reached."""
    import ssl

    import uvloop

    from engine.market.sessions import epoch_ms, minute_of_session
    from engine.sim.exchange import Exchange
    from engine.sim.faults import Network
    from engine.sim.markets import market_of
    from engine.sim.server import SimServer, serve_until

    factor = options.speed or SPEED_MAX
    settings = configuration.load()
    market = market_of(options.data, options.seed, options.day, options.names, mood=options.mood, contracts=options.contracts)
    first = epoch_ms(market.day, minute_of_session(options.start))
    rates, feed = faulty(market, options.plus, options.faults)
    if options.data is None:
        market.skip_to(minute_of_session(options.start))
    else:
        first = int(market.received[0]) - 1000

    async def serve() -> None:
        exchange = Exchange(market.specs, round(settings.risk.account_size * 100))
        host = options.host
        server = SimServer(market, exchange, factor, options.token, first, options.plus, Network(exchange, rates), feed,
                           [host, *options.allow_host])
        context = None
        if options.tls_cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(options.tls_cert, options.tls_key)
        try:
            bound = await server.start(host, options.port, context)
        except OSError as error:
            raise RunError(f"cannot listen on {host}:{options.port}: {error.strerror}; choose another with --port") from None
        if options.address_file is not None:
            options.address_file.write_text(f"http://{host}:{bound}\n")
        else:
            print(f"sim of {len(market.specs)} instruments, {market.day}, x{factor:g}, at http://{host}:{bound}, "
                  f"token {options.token}", flush=True)
        attendance = Attendance(RunDir.existing(options.attend)) if options.attend is not None else None
        await serve_until(server, options.state_file, attendance.is_over if attendance is not None else lambda: False)
        if server.failure is not None:
            raise RunError(f"the market broke off: {type(server.failure).__name__}: {server.failure}")

    uvloop.run(serve())
