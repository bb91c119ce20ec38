"""The routes: what the page and scripts may read, and the two steps of an operation. docs/page.md has them for people."""
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, PlainTextResponse

from engine.errors import EngineError, UsageError
from engine.watch import rows
from engine.watch.notes import TAG_MAX, TAGS_MAX, TEXT_MAX
from engine.watch.panels import NothingThere
from engine.watch.server.hub import packed_layout
from engine.watch.server.runs import NoSuchRun
from engine.watch.server.serving import Serving

MISSING = ("the page was not built: run `make install` where node and npm, or the package index, can be reached. The API answers "
           "all the same: /api/session.\n")

RunName = Annotated[str, Query(max_length=200, description="a run beside the one followed; a day of a backtest as NAME/DAY")]
Moment = Annotated[int | None, Query(ge=0, le=1 << 53, description="us since 1970: as the engine knew it then")]
Limit = Annotated[int, Query(ge=1, le=20_000)]
Before = Annotated[int, Query(ge=0, le=1 << 62, description="number or sequence; 0: the newest")]
Word = Annotated[str, Query(max_length=100)]
Number = Annotated[int, Query(ge=0, le=1 << 62)]


class Asked(BaseModel):
    """An operation that is asked for."""
    model_config = ConfigDict(extra="forbid")
    operation: str = Field(max_length=40)
    argument: str = Field("", max_length=500)


class Confirmed(BaseModel):
    """The word that was given for it."""
    model_config = ConfigDict(extra="forbid")
    confirm: str = Field(max_length=100)


class Noted(BaseModel):
    """A note on a candidate, or, with `removes`, that one is taken back."""
    model_config = ConfigDict(extra="forbid")
    run: str = Field("", max_length=200)
    candidate: int = Field(0, ge=0, le=1 << 53)
    text: str = Field("", max_length=TEXT_MAX)
    tags: list[Annotated[str, Field(max_length=TAG_MAX + 1)]] = Field([], max_length=TAGS_MAX)
    removes: int = Field(0, ge=0, le=1 << 53)


def json(document: Any, status: int = 200) -> Response:
    body = document if isinstance(document, bytes) else orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def make_app(serving: Serving) -> FastAPI:
    """The app of one server; its Guard stands around it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with serving.running():
            yield

    app = FastAPI(title="spike", description="What an engine sees, decides and did. Money in paise, times in us since 1970.",
                  docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=lifespan)
    _refusals(app)
    _now(app, serving)
    _panels(app, serving)
    _figures(app, serving)
    _results(app, serving)
    _changes(app, serving)
    _files(app, serving)
    return app


def _refusals(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def odd(request: Request, error: RequestValidationError) -> Response:
        words = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg'].lower()}" for one in error.errors()[:5])
        return json({"error": f"{request.url.path}: {words}"}, 400)

    @app.exception_handler(EngineError)
    async def ours(request: Request, error: EngineError) -> Response:
        status = 404 if isinstance(error, NothingThere | NoSuchRun) else 409 if isinstance(error, UsageError) else 503
        return json({"error": str(error)}, status)

    @app.exception_handler(404)
    async def nowhere(request: Request, error: Exception) -> Response:
        return json({"error": "there is nothing at this address"}, 404)

    @app.exception_handler(405)
    async def not_so(request: Request, error: Exception) -> Response:
        return json({"error": "this address does not take such a request"}, 405)

    @app.exception_handler(500)
    async def fault(request: Request, error: Exception) -> Response:
        return json({"error": f"{request.url.path} failed; watch.out of the run's folder says why"}, 500)


def _now(app: FastAPI, serving: Serving) -> None:
    """What the page asks once, and the whole of a moment."""
    @app.get("/api/session")
    async def session(run: RunName = "") -> Response:
        follow = await serving.runs.get(run)
        serving.warm(follow)
        return json(serving.session(follow) | {"frame": packed_layout(), "timeframes": list(rows.TIMEFRAMES)})

    @app.get("/api/instruments")
    async def instruments(run: RunName = "") -> Response:
        follow = await serving.runs.get(run)
        return json(rows.instruments(follow.day, follow.closes_before(), serving.sectors))

    @app.get("/api/moment")
    async def moment(run: RunName = "", at: Moment = None) -> Response:
        return json(await serving.moment(run, at))

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await serving.hub.serve(socket)


def _panels(app: FastAPI, serving: Serving) -> None:
    """Each panel, now or at a moment."""
    panel = serving.panel

    @app.get("/api/candidates")
    async def candidates(run: RunName = "", at: Moment = None, before: Before = 0, limit: Limit = 200, symbol: Word = "",
                         reason: Word = "", verdict: Word = "", source: Word = "") -> Response:
        return json(await panel("candidates", run, at, {"before": before, "limit": limit, "symbol": symbol, "reason": reason,
                                                        "verdict": verdict, "source": source}))

    @app.get("/api/candidate/{number}")
    async def candidate(number: int, run: RunName = "", at: Moment = None) -> Response:
        return json(await serving.candidate(run, at, number))

    @app.get("/api/orders")
    async def orders(run: RunName = "", at: Moment = None, before: Before = 0, limit: Limit = 200) -> Response:
        return json(await panel("orders", run, at, {"before": before, "limit": limit}))

    @app.get("/api/order/{number}")
    async def order(number: int, run: RunName = "", at: Moment = None) -> Response:
        return json(await panel("order", run, at, {"id": number}))

    @app.get("/api/trades")
    async def trades(run: RunName = "", at: Moment = None) -> Response:
        return json(await serving.trades(run, at))

    @app.get("/api/marks")
    async def marks(inst: Number, run: RunName = "", at: Moment = None) -> Response:
        return json(await panel("marks", run, at, {"inst": inst}))

    @app.get("/api/candles")
    async def candles(inst: Number, tf: int = 1, run: RunName = "", at: Moment = None) -> Response:
        if tf not in rows.TIMEFRAMES:
            raise UsageError(f"tf={tf}: candles are of {', '.join(map(str, rows.TIMEFRAMES))} minutes")
        return json(await serving.candles(run, at, inst, tf))


def _figures(app: FastAPI, serving: Serving) -> None:
    """Money, latency, feed and log, now or at a moment."""
    panel = serving.panel

    @app.get("/api/equity")
    async def equity(run: RunName = "", at: Moment = None) -> Response:
        follow = await serving.runs.get(run)
        return json(rows.equity(follow.day, [p for p in follow.points if at is None or p[0] <= at * 1000]))

    @app.get("/api/latency")
    async def latency(run: RunName = "", at: Moment = None) -> Response:
        return json(await panel("latency", run, at, {}))

    @app.get("/api/feed")
    async def feed(run: RunName = "", at: Moment = None) -> Response:
        return json(serving.feed(await serving.runs.get(run)) | orjson.loads(await panel("links", run, at, {})))

    @app.get("/api/gaps")
    async def gaps(run: RunName = "", at: Moment = None, limit: Limit = 500) -> Response:
        return json(await panel("gaps", run, at, {"limit": limit}))

    @app.get("/api/chain")
    async def chain(symbol: Word, run: RunName = "", at: Moment = None) -> Response:
        return json(await panel("chain", run, at, {"symbol": symbol}))

    @app.get("/api/log")
    async def log(run: RunName = "", at: Moment = None, before: Before = 0, limit: Limit = 300, kind: Word = "",
                  text: Word = "") -> Response:
        return json(await panel("log", run, at, {"before": before, "limit": limit, "kind": kind, "text": text}))


def _results(app: FastAPI, serving: Serving) -> None:
    """Runs, what came of them, models and alerts."""
    @app.get("/api/runs")
    async def runs() -> Response:
        return json({"rows": await asyncio.to_thread(serving.runs.listed), "own": serving.follow.name})

    @app.get("/api/backtest/{name}")
    async def backtest(name: str) -> Response:
        return json(await asyncio.to_thread(serving.result, name))

    @app.get("/api/compare")
    async def compare(a: RunName, b: RunName) -> Response:
        return json(await asyncio.to_thread(serving.compare, a, b))

    @app.get("/api/models")
    async def models() -> Response:
        return json(serving.model_panel())

    @app.get("/api/alerts")
    async def alerts() -> Response:
        return json({"rows": serving.alert_rows(), "answers": serving.chats()})

    @app.get("/api/broker")
    async def broker(run: RunName = "") -> Response:
        return json(await serving.broker(run))

    @app.get("/metrics")
    async def metrics() -> Response:
        text, kind = serving.metrics()
        return Response(text, media_type=kind)


def _changes(app: FastAPI, serving: Serving) -> None:
    """The two steps of an operation; a note, which changes nothing of the engine, takes one."""
    @app.post("/api/operations")
    async def ask(asked: Asked) -> Response:
        return json(serving.desk.ask(asked.operation, asked.argument))

    @app.post("/api/operations/confirm")
    async def confirm(confirmed: Confirmed) -> Response:
        return json(await serving.desk.confirm(confirmed.confirm))

    @app.post("/api/notes")
    async def note(noted: Noted) -> Response:
        return json(await serving.note(noted.run, noted.candidate, noted.text, noted.tags, noted.removes))


def _files(app: FastAPI, serving: Serving) -> None:
    """The page itself: the files that were bundled, and no others."""
    @app.get("/{path:path}")
    async def file(path: str) -> Response:
        found = serving.files.get(path or "index.html")
        if found is None:
            return PlainTextResponse(MISSING, 503) if not path and not serving.files else json(
                {"error": "there is nothing at this address"}, 404)
        return FileResponse(found, headers={"cache-control": "no-cache"})
