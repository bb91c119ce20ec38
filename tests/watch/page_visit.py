"""A visit to the browser page: the small server in a thread, a page in Chromium, and what went wrong in it."""
import asyncio
import shutil
import threading
import time
from typing import Any

from tests.watch.page_server import PageServer, serve

MINUS = "\N{MINUS SIGN}"
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Running:
    """A PageServer in a thread of its own."""

    def __init__(self, server: PageServer):
        self.server, self.loop = server, asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.runner, self.address = self.call(serve(server))

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def drop(self) -> None:
        """Cuts every WebSocket."""

        async def close() -> None:
            for socket in list(self.server.sockets):
                await socket.close()

        self.call(close())

    def end(self) -> None:
        self.drop()
        self.call(self.runner.cleanup())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Visit:
    """A page with what went wrong in it: console errors, exceptions, requests to another host."""

    def __init__(self, chromium: Any, address: str, width: int = 1440, scheme: str = "dark"):
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            has_touch=width < 500,
            is_mobile=width < 500,
            reduced_motion="reduce",
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.outside: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.context.route("**/*", lambda route: self._look(route, address))
        self.page.goto(address)
        self.page.wait_for_selector("[data-panel=map]")

    def _look(self, route: Any, address: str) -> None:
        if not route.request.url.startswith((address, "data:")):
            self.outside.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    def open(self, tab: str) -> None:
        self.page.click(f"[data-tab={tab}]")
        self.page.wait_for_selector(f"#view.view-{tab}")

    def until(self, condition: str, timeout_s: float = 10) -> None:
        """Waits for an expression of the page: Playwright's own way needs `eval`, which the page's policy forbids."""
        end = time.monotonic() + timeout_s
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"not within {timeout_s} s: {condition}"
            self.page.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def end(self) -> None:
        self.context.close()
        assert not self.wrong, self.wrong
        assert not self.outside, self.outside
