"""The page's server: REST, one WebSocket, metrics; loopback and a token, reads of the journal and never of the engine."""
