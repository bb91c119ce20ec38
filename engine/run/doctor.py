"""`doctor`: what must be right before money is risked, each thing with what to do about it."""
import asyncio
import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from _ext.signals.scorer import ModelRefused
from engine.broker.base import FAIL, OK, WARN, BrokerError
from engine.broker.upstox import login, master
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import API, ORDERS
from engine.broker.upstox.doctor import SANDBOX, Checks
from engine.config import Config
from engine.market.sessions import IST
from engine.market.universe import SUSPENDED
from engine.run import rollout
from engine.run.universe import take
from engine.signals.models import active, trained
from engine.store import landlock
from engine.trail.rundir import RunDir, RunError
from engine.trail.signs import cores_of_engine
from engine.watch import drift

ROOM_GB = 40                      # a day of 2,500 names is some 16 GB of frames, twice while they are compressed
SHM_MB = 600
MODEL_DAYS = 90


@dataclass
class Check:
    name: str
    state: str
    said: str


async def examine(config: Config, source: str, base: str = "", sandbox: bool = False) -> dict[str, Any]:
    """All checks as a document. `base`: of the sim, where it is one; `sandbox` sends the golden order bodies to the broker's."""
    token, api, said = None, None, ""
    if source == "sim":
        api = Api("demo", base, base)
    else:
        try:
            token = login.load()
            api = Api(token.text, API, ORDERS)
        except login.LoginError as error:
            said = str(error)
    doctor = Doctor(config, api, token, source)
    if said:
        doctor.note("token", FAIL, said)
    try:
        if api is not None:
            await api.open()
        await doctor.run()
        if sandbox:
            box = Api(os.environ.get("ENGINE_SANDBOX_TOKEN", ""), SANDBOX, SANDBOX)
            try:
                await Checks(box, doctor.now, doctor.note).sandbox(Path(__file__).parents[2] / "proto" / "orders")
            finally:
                await box.close()
    finally:
        if api is not None:
            await api.close()
    return doctor.document()


class Doctor:
    """Checks of one configuration against one broker. `api` is None where there is no token."""

    def __init__(self, config: Config, api: Api | None, token: login.Token | None, source: str, now: dt.datetime | None = None):
        self.config, self.api, self.token, self.source = config, api, token, source
        self.now = now or dt.datetime.now(IST)
        self.checks: list[Check] = []

    def note(self, name: str, state: str, said: str) -> None:
        self.checks.append(Check(name, state, said))

    @property
    def is_well(self) -> bool:
        return all(check.state != FAIL for check in self.checks)

    def document(self) -> dict[str, Any]:
        return {"well": self.is_well, "at": self.now.isoformat(timespec="seconds"), "source": self.source,
                "checks": [asdict(check) for check in self.checks]}

    async def run(self) -> None:
        """Every check; one that cannot be made is a failed one."""
        for name, check in (("configuration", self._limits), ("disk", self._disk), ("shared memory", self._memory),
                            ("model", self._model), ("roll-out", self._rollout), ("token", self._token),
                            ("confinement", self._confinement), ("cores", self._cores)):
            self._try(name, check)
        if self.api is None:
            self.note("broker", FAIL, "not asked: there is no token")
            return
        steps = list(Checks(self.api, self.now, self.note).steps())
        if self.source == "upstox":
            steps.append(("instruments", self._instruments))
        for name, step in steps:
            try:
                await asyncio.wait_for(step(), 15)
            except TimeoutError:
                self.note(name, FAIL, "no answer within 15 s")
            except (BrokerError, master.MasterError) as error:
                self.note(name, FAIL, str(error))
            except (KeyError, TypeError, ValueError) as error:
                self.note(name, FAIL, f"the answer was not understood ({type(error).__name__})")
        await self._clickhouse()

    def _try(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except Exception as error:
            self.note(name, FAIL, str(error))

    # ---- here ----------------------------------------------------------------------------------------------------------
    def _limits(self) -> None:
        r, odd = self.config.risk, []
        if r.stop * r.notional * r.max_positions > r.daily_loss:
            odd.append(f"{r.max_positions} stops of {r.stop:.1%} on {r.notional:.1%} each lose more than the day's "
                       f"{r.daily_loss:.1%}")
        if r.notional * r.max_positions > r.leverage:
            odd.append("all positions together exceed the leverage")
        if r.target <= r.stop and r.policy == "seed":
            odd.append("the target is nearer than the stop")
        if r.orders_per_minute > 60 * r.requests_per_second:
            odd.append("more entries a minute than the broker takes requests")
        self.note("limits", WARN if odd else OK, "; ".join(odd) or (
            f"{r.notional:.1%} a position, {r.max_positions} at once, day's loss {r.daily_loss:.1%}, stop {r.stop:.1%}"))

    def _disk(self) -> None:
        free = shutil.disk_usage(".").free / 1e9
        self.note("disk", OK if free > ROOM_GB else WARN if free > 2 else FAIL,
                  f"{free:.0f} GB free here; a day of 2,500 names takes some 16")

    def _memory(self) -> None:
        folder = os.environ.get("ENGINE_SHM", "/dev/shm")
        free = shutil.disk_usage(folder).free / 1e6
        self.note("shared memory", OK if free > SHM_MB else FAIL,
                  f"{free:.0f} MB free in {folder}; {SHM_MB} are needed (a container: --shm-size), or set ENGINE_SHM")

    def _cores(self) -> None:
        """Whether the engine can have, or has, a core of its own."""
        may = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(RunError):
            latest = RunDir.existing(RunDir.latest())
            if own := cores_of_engine(latest):
                everywhere = len(own) == os.cpu_count()
                self.note("cores", OK, f"the engine of {latest.path} may use " + ("every core" if everywhere else
                                                                                 f"core {', '.join(map(str, own))} alone"))
                return
        self.note("cores", OK if len(may) > 1 else WARN, f"{len(may)} may be used; " + (
            f"`run --cpus {may[-1]}` gives the engine the last of them" if len(may) > 1 else "engine, store and view share it"))

    def _confinement(self) -> None:
        """What keeps SQL of readers from this machine's files."""
        found, has_readers = landlock.version(), self.config.store.unconfined_readers
        if self.config.store.url:
            self.note("confinement", OK, "readers ask your own ClickHouse")
        elif found == 0:
            self.note("confinement", WARN, "this kernel has no Landlock: readers of the embedded database are " + (
                "on all the same (store.unconfined_readers), a list of statements alone keeps them from files" if has_readers else
                "off; a kernel from 5.19 on has it, or set unconfined_readers = true under [store]"))
        else:
            self.note("confinement", OK if found >= landlock.NETWORK_SINCE else WARN, f"Landlock {found} keeps the store to "
                      "its folder" + (" and port" if found >= landlock.NETWORK_SINCE else "; TCP only from kernel 6.7 on"))

    def _model(self) -> None:
        try:
            scorer = active(Path(self.config.models))
        except (ModelRefused, OSError) as error:
            self.note("model", FAIL, str(error))
            return
        if scorer is None:
            self.note("model", WARN, "none is active: every candidate is refused for want of a score")
            return
        day = trained(Path(self.config.models), scorer)
        age = (self.now.date() - day).days if day is not None else None
        said = ("its age is not known: its card says no day" if age is None else f"trained on {day}, {age} days old" if age >= 0
                else f"trained on {day}, a day to come: is the clock right?")
        self.note("model", OK if age is not None and 0 <= age < MODEL_DAYS else WARN, f"{scorer.sha256[:16]}, {said}"
                  + (": train and compare another" if age is None or age >= MODEL_DAYS else ""))
        self._drift()

    def _drift(self) -> None:
        """Of the latest run's store, where there is one with enough candidates."""
        from engine.store.client import client_of, market_of

        try:
            run = RunDir.existing(RunDir.latest())
            with client_of(self.config, run) as client:
                found = drift.measure(client, Path(self.config.models), market_of(run))
        except (RunError, LookupError, ModelRefused, OSError) as error:
            self.note("drift", OK, f"not measured: {error}")
            return
        except Exception as error:                       # a store that is not there is no reason not to trade
            self.note("drift", OK, f"not measured: {type(error).__name__}")
            return
        drifted, said = found["drifted"], found["calibration"][:1]
        if drifted:
            said.insert(0, f"{len(drifted)} features are not as in training ({', '.join(drifted[:4])})")
        self.note("drift", WARN if said else OK, f"{found['candidates']} candidates of the latest run's market: " + (
            "; ".join(said) + ": `python -m engine model drift`" if said else "as in training" if found["enough"]
            else f"too few to say, {drift.FEWEST} are needed"))

    def _rollout(self) -> None:
        """Where going live stands, by the days judged so far."""
        if self.source == "upstox":
            self.note("roll-out", OK, rollout.load().words)

    def _token(self) -> None:
        if self.source == "sim":
            self.note("token", OK, "demo")
            return
        if self.token is None:
            self.note("token", FAIL, "none: `python -m engine login`")
            return
        hours = self.token.seconds_left(self.now) / 3600
        self.note("token", OK if hours > 7 else WARN, f"{self.token.kind}, {hours:.1f} hours left" + (
            "" if hours > 7 else ": it ends before the market does; log in again in the morning"))

    async def _instruments(self) -> None:
        source, note = await master.fetch(self.now.date(), again=True, today=self.now.date())
        stocks = take(self.now.date(), source.listing, None, self.config.excluded).universe.stocks.values()
        blocked = [s.symbol for s in stocks if s.status == SUSPENDED]
        self.note("instruments", WARN if note or blocked else OK, note or f"{len(stocks)} F&O stocks" + (
            f", not traded until acknowledged: {', '.join(blocked)}" if blocked else ""))
        listed = master.banned(Path(self.config.ban_list) if self.config.ban_list else None, self.now.date())
        if listed is None:
            wanted = self.config.risk.vehicle == "future"
            self.note("ban list", FAIL if wanted else OK, "no list of today (ban_list in engine.toml)" + (
                ": contracts are not entered" if wanted else ": only contracts need it"))
        else:
            self.note("ban list", OK, f"{len(listed)} names in the ban period")

    async def _clickhouse(self) -> None:
        if not self.config.store.url:
            self.note("ClickHouse", OK, "embedded, in the data home (runs/clickhouse)")
            return
        import aiohttp

        try:
            async with (aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                        session.get(self.config.store.url.rsplit("/", 1)[0] + "/ping") as response):
                good = (await response.text()).strip() == "Ok."
        except (aiohttp.ClientError, TimeoutError, ValueError):
            good = False
        self.note("ClickHouse", OK if good else FAIL, "answers" if good else "does not answer at store.url")
