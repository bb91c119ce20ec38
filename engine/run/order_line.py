"""What the shell wants of a broker, over the network: requests, reads, and the stream of what becomes of orders."""
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from engine.broker.base import BrokerError
from engine.broker.upstox.client import RestClient
from engine.run.shell import Read, Send, Shell

POLL_S, AGAIN_S, SLOWEST_S = 0.05, 0.2, 30.0


class OrderLine:
    """`act` is called after each answer, `took` hears what a request took (ns), `spawn` begins a task that ends with the run."""

    def __init__(self, rest: RestClient, shell: Shell, act: Callable[[], None], spawn: Callable[[Coroutine[Any, Any, None]], None],
                 took: Callable[[int], None], note: Callable[[str], None]):
        self.rest, self.shell, self.act, self.spawn, self.took, self.note = rest, shell, act, spawn, took, note

    async def send(self, send: Send) -> None:
        """One request, from its bytes to its answer."""
        answer = await self.rest.call(send.request)
        self.took(answer.latency_ns)
        self.shell.on_reply(send, answer.status, answer.body, answer.latency_ns)
        self.act()

    async def poll(self) -> None:
        """Reads that are due, for ever."""
        while True:
            for read in self.shell.reads():
                self.spawn(self.read(read))
            await asyncio.sleep(POLL_S)

    async def read(self, read: Read) -> None:
        """A token that is refused ends the engine: nothing is known without it."""
        answer = await self.rest.call(read.request)
        self.shell.on_read(read, answer.status, answer.body)
        self.act()
        if answer.status == 401 and read.what in ("book", "positions"):
            raise BrokerError(401, "the token was refused: it expired at 03:30 or belongs elsewhere; log in again")

    async def follow(self) -> None:
        """The order stream, connected again whenever it was cut."""
        pause = AGAIN_S
        while True:
            try:
                async with self.rest.order_stream() as socket:
                    self.shell.on_stream(True)
                    pause = AGAIN_S
                    async for message in socket:
                        self.shell.on_message(message.data if isinstance(message.data, (str, bytes)) else b"")
                        self.act()
            except BrokerError as error:
                if error.status == 401:
                    raise
                self.note(f"orders: {error}")
            except Exception as error:                     # a cut line, a refused handshake: all tried again
                self.note(f"orders: the stream was cut ({type(error).__name__}); it is tried again")
            self.shell.on_stream(False)
            self.act()
            await asyncio.sleep(pause)
            pause = min(pause * 2, SLOWEST_S)
