"""A server on loopback that keeps what it is asked and answers as it is told."""
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answering:
    """`answer` gives (status, type, body, further headers) of a request; `asked` has them in order."""
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], tuple[int, str, bytes, dict[str, str]]] = lambda _: (200, "application/json", b"{}", {})
    free: threading.Event = field(default_factory=threading.Event)       # cleared: it keeps everybody waiting

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def answering() -> Iterator[Answering]:
    served = Answering()
    served.free.set()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers), body)
            served.asked.append(asked)
            served.free.wait()
            status, kind, text, more = served.answer(asked)
            with contextlib.suppress(OSError):               # who asked may have gone
                self.send_response(status)
                for name, value in ({"Content-Type": kind, "Content-Length": str(len(text))} | more).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = do_HEAD = _take

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.free.set()
        server.shutdown()
        server.server_close()
        thread.join()
