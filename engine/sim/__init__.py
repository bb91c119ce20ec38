"""The sim: a local Upstox. Pure cores (market, exchange) on virtual time, and the sockets around them."""
