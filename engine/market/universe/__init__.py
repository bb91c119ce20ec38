"""The F&O universe of a day: stocks with their futures and options (`terms`), what changed since the last one (`changes`), how
liquid each is (`liquidity`), what its price did overnight (`overnight`), and what the store is told of it (`record`)."""
from engine.market.universe.changes import BLOCKING, Change, diff, follow
from engine.market.universe.liquidity import Turnover, liquidity, turnover_of, turnover_of_bars, with_liquidity
from engine.market.universe.overnight import ORDINARY, RATIOS, UNSEEN, Seen, lots_by, overnight, shares_added, witnessed
from engine.market.universe.record import FOR_EVER, Today, described, left_behind
from engine.market.universe.terms import (
    ACTIVE,
    INACTIVE,
    SUSPENDED,
    Contract,
    Listed,
    Listing,
    Share,
    Stock,
    Universe,
    build,
    suspended,
)

__all__ = [
    "ACTIVE", "BLOCKING", "FOR_EVER", "INACTIVE", "ORDINARY", "RATIOS", "SUSPENDED", "UNSEEN", "Change", "Contract", "Listed",
    "Listing", "Seen", "Share", "Stock", "Today", "Turnover", "Universe", "build", "described", "diff", "follow", "left_behind",
    "liquidity", "lots_by", "overnight", "shares_added", "suspended", "turnover_of", "turnover_of_bars", "with_liquidity",
    "witnessed"]
