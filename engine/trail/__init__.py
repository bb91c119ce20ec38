"""RecordSink: where a run lives on disk, how it is replayed, stored and explained."""
