"""The broker's token."""
import asyncio
from typing import Annotated

import typer

from engine.broker.upstox import login as logins

app = typer.Typer(add_completion=False)


@app.command()
def login(paste: Annotated[bool, typer.Option(help="paste a token of the broker's console")] = False,
          phone: Annotated[bool, typer.Option(help="approve on the phone")] = False,
          user: Annotated[str, typer.Option(help="the broker's user id it must be of; by default the last token's")] = "",
          analytics: Annotated[bool, typer.Option(help="the pasted token is the read-only, year-long one")] = False,
          status: Annotated[bool, typer.Option(help="only say what there is")] = False) -> None:
    """Get the broker's token: by browser, by phone, or pasted. It stays on this machine, readable by you alone."""
    import getpass

    if status:
        print(repr(logins.load()))
        return
    if paste:
        token = logins.pasted(getpass.getpass("token (not shown): "), "analytics" if analytics else "trading")
    else:
        token = consented(phone, user)
    path = logins.token_file() if token.user else logins.save(token)
    print(f"{token!r} kept in {path}")


def consented(phone: bool = False, user: str = "") -> logins.Token:
    """A token given by browser or phone, verified and kept."""
    from engine.broker.upstox import consent

    way = consent.phone if phone else consent.browser
    return asyncio.run(way(logins.app_of_environment(), lambda text: print(text if phone else f"open: {text}", flush=True),
                           tell=lambda text: print(text, flush=True), user=user))
