"""What the page costs the engine: `python -m bench.page --pairs 20`.

Twenty readers of the WebSocket and a Chromium on one core, the engine on another; runs with and without them take turns. Prints the
ratio of the tick path's figures and the middle 95 % of its mean over pairs drawn with replacement.
"""
import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
READERS, NAMES, SPEED = 20, 208, 10
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]


async def read(address: str, until: float) -> int:
    """One reader of every frame; how many it got."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    base, _, token = address.partition("/?token=")
    count = 0
    async with connect(base.replace("http", "ws") + "/ws", additional_headers={"authorization": f"Bearer {token}"}) as socket:
        with contextlib.suppress(TimeoutError, ConnectionClosed):      # the run may end first
            while time.monotonic() < until:
                count += isinstance(await asyncio.wait_for(socket.recv(), 5), bytes)
    return count


async def look(address: str, until: float) -> None:
    """A Chromium that shows the page."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(address)
        await asyncio.sleep(max(until - time.monotonic(), 0))
        await browser.close()


async def watch(folder: Path, seconds: float) -> int:
    """The readers and the browser, from when the page is there on; the fewest frames any reader got."""
    end = time.monotonic() + 40
    while not (folder / "watch.address").exists():
        if time.monotonic() > end:
            raise SystemExit("the page did not begin")
        await asyncio.sleep(0.1)
    address, until = (folder / "watch.address").read_text().strip(), time.monotonic() + seconds - 2
    counts = await asyncio.gather(look(address, until), *(read(address, until) for _ in range(READERS)))
    return min(count for count in counts[1:] if count is not None)


def run(has_page: bool, seconds: float, core: int, seed: int) -> tuple[dict[str, float], int]:
    """The tick path's figures (us) of one run."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as base:
        folder = Path(base) / "run"
        environment = dict(os.environ) | {"ENGINE_WATCH__IS_ON": str(has_page).lower(), "ENGINE_WATCH__PORT": "0",
                                          "XDG_STATE_HOME": base}
        rest = os.sched_getaffinity(0)
        os.sched_setaffinity(0, rest | {core})             # the launcher gives the engine its core
        process = subprocess.Popen(
            [sys.executable, "-m", "engine", "run", "--names", str(NAMES), "--speed", str(SPEED), "--seed", str(seed), "--for",
             f"{seconds:g}s", "--cpus", str(core), "--run-dir", str(folder), "--json"], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        os.sched_setaffinity(0, rest)
        frames = asyncio.run(watch(folder, seconds)) if has_page else 0
        out, _ = process.communicate(timeout=180)
        return json.loads(out)["tick_path_us"], frames


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description="What the page costs the engine.")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0)
    chosen = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the engine, one for all else")
    os.sched_setaffinity(0, set(cores[:-1]))
    pairs = []
    for number in range(chosen.pairs):
        found = {}
        for has_page in ((False, True), (True, False))[number % 2]:
            found[has_page], frames = run(has_page, chosen.seconds, cores[-1], number + 1)
            if has_page:
                print(f"pair {number + 1}: readers got at least {frames} frames")
        pairs.append((found[False], found[True]))
        print(f"  p99 {found[False]['p99']:.1f} us without, {found[True]['p99']:.1f} with; p50 {found[False]['p50']:.1f}, "
              f"{found[True]['p50']:.1f}", flush=True)
    draws = np.random.default_rng(1).integers(0, len(pairs), (4000, len(pairs)))
    for name in ("p50", "p99", "p999", "max"):
        ratios = np.log([b[name] / a[name] for a, b in pairs])
        low, high = np.exp(np.percentile(ratios[draws].mean(1), (2.5, 97.5)))
        print(f"{name}: ratio {np.exp(ratios.mean()):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
