"""The compiled path of a tick: core, feed, market, signals, trade, trail, in that order. No asyncio, no clock."""
