"""The engine's own matching as a broker: what trades on paper and in a backtest. Nothing of it leaves the process.

`venue` is where its orders are (`_ext/trade/venue`), `protocol` its language.
"""
