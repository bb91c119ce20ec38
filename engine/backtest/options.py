"""What a backtest is asked for: one typed object, from the command line or from Python."""
import datetime as dt
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from engine.feed.rows import Book
from engine.trail.rundir import folder_of

_BOOK = Book()


class BacktestOptions(BaseModel):
    """A backtest, as `python -m engine backtest` and `engine.backtest` take it. OptionError where a value cannot be."""
    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(Path("days"), description="day files or a folder of them, a run folder, CSV and Parquet files, or what the "
                       "database has: clickhouse, clickhouse:RUN, clickhouse:MARKET, and :bars behind it for minutes")
    first: dt.date | None = Field(None, description="first day",
                                  json_schema_extra={"option": "--from", "metavar": "YYYY-MM-DD"})
    last: dt.date | None = Field(None, description="last day", json_schema_extra={"option": "--to", "metavar": "YYYY-MM-DD"})
    names: str = Field("", description="symbols, separated by commas; by default all")
    run_dir: Annotated[Path | None, BeforeValidator(folder_of)] = Field(
        None, description="folder of the results; by default a new one", json_schema_extra={"metavar": "DIR"})
    seed: int = Field(1, ge=0, lt=1 << 63, description="number the venue's delays are drawn from")
    latency_ms: int = Field(0, ge=0, le=60_000, description="there and back, always the same; 0: drawn, about 35 ms")
    spread_bp: float = Field(_BOOK.spread_bp, ge=0, le=1000, allow_inf_nan=False,
                             description="of a book that was not recorded: share of price")
    spread_ticks: int = Field(_BOOK.spread_ticks, ge=1, le=1000, description="and price steps, whichever is more")
    level: float = Field(_BOOK.level_value / 100, gt=0, le=1e10, description="of such a book: rupees on each of five levels")
    bounds: bool = Field(False, description="of bars: run a second time with the good extreme first")
    journal: bool = Field(True, description="keep each day's journal, for replay and explain",
                          json_schema_extra={"option": "--journal/--no-journal"})
    store: bool = Field(False, description="put the results into ClickHouse: the database of the runs, or the server of store.url")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.first and self.last and self.first > self.last:
            raise ValueError(f"--from {self.first} is after --to {self.last}")
        return self

    @property
    def book(self) -> Book:
        """The book that is modelled where none was recorded."""
        return Book(self.spread_bp, self.spread_ticks, round(self.level * 100))
