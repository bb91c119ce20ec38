"""What `run` and `day` say to a person: before real money is risked, and at the end."""
import sys
from typing import Any

import typer

from engine.cli.doctor import show_checks
from engine.watch.view import speeds


def shown(document: dict[str, Any], words: str) -> bool:
    """Shows doctor's checks and, where all is well, what is about to begin; whether it is."""
    show_checks(document)
    if document["well"]:
        print(words)
    return bool(document["well"])


def agreed(document: dict[str, Any], words: str) -> bool:
    """Whether a person who has seen doctor's checks types the word."""
    return shown(document, words) and confirmed("today")


def confirmed(when: str) -> bool:
    """Whether a person at a terminal types the word."""
    return sys.stdin.isatty() and typer.prompt(f"REAL ORDERS with real money, {when}. Type LIVE to go on") == "LIVE"


def closing_words(d: dict[str, Any]) -> None:
    """The summary a person reads at the end."""
    for text in d.get("troubles", []):
        print(f"TROUBLE: {text}")
    if "updates" not in d:
        return
    print(f"\n{d['updates']:,} updates of {d['instruments']} instruments: {d['candidates']} candidates, {d['signals']} signals, "
          f"{d['orders']} orders; {d.get('stored', 0):,} ticks in ClickHouse" + (
              "; the filter was OFF" if d.get("filter") == "OFF" else ""))
    print(f"net Rs {d['net']:+,.2f} (realised {d['realised']:+,.2f}, open {d['open']:+,.2f}, charges {d['charges']:,.2f}), "
          "paper money")
    if (market := d.get("market")) is not None and market["reached_in_all"] < 0.95 * market["asked"]:
        print(f"the market ran slower than asked, this machine being too slow for it: "
              f"{speeds(market['asked'], market['reached_in_all'])}")
    print(f"digest {d['digest']}, run folder {d['run_dir']}")
    print("next: `python -m engine replay`, `python -m engine query \"SELECT reason, count() FROM signals GROUP BY 1\"`, "
          "`python -m engine explain 1`")
