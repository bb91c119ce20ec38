"""ClickHouse: rows of a journal, the process that writes and serves them, what a reader may ask."""
