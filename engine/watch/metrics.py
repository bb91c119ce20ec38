"""Metrics of a run for Prometheus: a table of what each one is, and the text a scrape gets. docs/metrics.md is the same table.

Names are Prometheus's: base units (seconds, bytes, rupees as the money's), `_total` for what only grows within one life of the
engine. A series is there only where its value is known. Instruments are never labels: there are thousands.
"""
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from _ext.core.clock import SECOND
from _ext.core.records import OPERATOR_STATES, STREAM_FEED, STREAM_ORDERS, TRADING_STATES
from engine.trail.signs import FRESH_NS
from engine.watch import figures
from engine.watch.tally import Histogram
from engine.watch.watched import Watched

Number = float | int
Samples = Iterable[tuple[tuple[str, ...], Number]]


@dataclass(frozen=True)
class Measure:
    """One metric: `of` gives its value, the value of each label, or None for what is not known."""
    name: str
    kind: str                         # gauge, counter or histogram
    words: str
    of: Callable[[Watched], Any]
    labels: tuple[str, ...] = ()


def _status(name: str, per: float = 1) -> Callable[[Watched], Number | None]:
    return lambda w: None if w.status is None else int(w.status[name]) / per


def _one(names: Iterable[str], field: str) -> Callable[[Watched], Samples | None]:
    """1 for the state that holds, 0 for the others."""
    return lambda w: None if w.status is None else [
        ((word,), int(i == int(w.status[field]))) for i, word in enumerate(names)]


def _each(of: Callable[[Watched], Mapping[Any, Number]]) -> Callable[[Watched], Samples]:
    return lambda w: [(key if isinstance(key, tuple) else (key,), value) for key, value in sorted(of(w).items())]


def _limits(names: Mapping[str, str]) -> Callable[[Watched], Samples]:
    return lambda w: [((window,), w.tally.limits[name]) for window, name in names.items() if name in w.tally.limits]


def _tick_path(w: Watched) -> Samples | None:
    return None if w.status is None else [
        ((share,), int(w.status[name]) / 1e9) for share, name in (("0.5", "p50"), ("0.99", "p99"), ("0.999", "p999"), ("1", "max"))]


def _account(w: Watched) -> int:
    return w.equity or 0


def _sharpe(w: Watched) -> float | None:
    return figures.sharpe([*w.days.values(), w.net], _account(w)) if w.days else None


def _drawdown(w: Watched) -> float | None:
    steps = [*w.days.values(), *(trade.net for trade in w.closed)]
    begun = _account(w) - sum(w.days.values())             # today's equity has the days before in it
    return figures.max_drawdown(steps, begun) if _account(w) and begun > 0 else None


def _accuracy(w: Watched) -> tuple[float, int] | None:
    return figures.filter_accuracy(w.drift["score"], w.threshold) if w.drift and w.threshold is not None else None


def _psi(w: Watched) -> Mapping[str, float]:
    return w.drift["psi"] if w.drift and w.drift.get("enough") else {}


REQUEST_LIMITS = {"second": "requests_per_second", "minute": "requests_per_minute", "half_hour": "requests_per_half_hour"}
ENTRY_LIMITS = {"minute": "orders_per_minute", "hour": "orders_per_hour", "day": "orders_per_day"}
PAISE = 100
"""A rupee has."""
TABLE = (
    Measure("spike_run_info", "gauge", "Always 1; the labels say which run is watched.",
            lambda w: [((w.run, w.mode, w.source, w.version, w.day, w.model), 1)],
            ("run", "mode", "source", "version", "day", "model")),
    Measure("spike_watch_updated_timestamp_seconds", "gauge", "When watch last took these figures, seconds since 1970.",
            lambda w: w.wall_ns / 1e9),
    # ---- the engine
    Measure("spike_engine_up", "gauge", "1 while the engine is ready and has beaten within three seconds.",
            lambda w: int(w.is_ready and (w.heartbeat_s or 0) < FRESH_NS / 1e9)),
    Measure("spike_engine_heartbeat_age_seconds", "gauge", "Since the engine's last sign of life.", lambda w: w.heartbeat_s),
    Measure("spike_engine_uptime_seconds", "gauge", "Since this engine process began.",
            lambda w: (w.wall_ns - int(w.status["started"])) / 1e9 if w.is_ready and int(w.status["started"]) else None),
    Measure("spike_market_timestamp_seconds", "gauge", "Market time, seconds since 1970.", lambda w: w.now_ns / 1e9),
    Measure("spike_session_open", "gauge", "1 between 09:15 and 15:30 of market time.", lambda w: int(w.is_session)),
    Measure("spike_trading_state", "gauge", "1 for the trading state that holds.", _one(TRADING_STATES, "trading"), ("state",)),
    Measure("spike_operator_state", "gauge", "1 for what the operator wants.", _one(OPERATOR_STATES, "operator"), ("state",)),
    Measure("spike_filter_on", "gauge", "1 while a model scores candidates; without one every candidate is refused.",
            lambda w: int(w.status["filter"]) if w.is_ready else None),
    Measure("spike_journal_records_total", "counter", "Records journaled.", _status("records")),
    Measure("spike_journal_full", "gauge", "1 while the journal has no room and entries stop.", _status("journal_full")),
    Measure("spike_process_restarts_total", "counter", "Deaths of a process of the run, each followed by a new start.",
            _each(lambda w: w.restarts), ("process",)),
    Measure("spike_process_memory_bytes", "gauge", "Resident memory of a process of the run.", _each(lambda w: w.memory),
            ("process",)),
    Measure("spike_troubles", "gauge", "Things that are wrong, as `status` lists them.", lambda w: len(w.troubles)),
    # ---- the feed
    Measure("spike_feed_up", "gauge", "1 while the feed is connected.",
            lambda w: int(w.status["feed_up"]) if w.status is not None else int(w.tally.is_up[STREAM_FEED])),
    Measure("spike_feed_silence_seconds", "gauge", "Market time since the last frame.",
            lambda w: max(w.now_ns - w.tally.last_frame, 0) / 1e9 if w.tally.last_frame else None),
    Measure("spike_feed_reconnects_total", "counter", "Connections of the feed beyond the first.", _status("reconnects")),
    Measure("spike_feed_updates_total", "counter", "Updates of instruments.", _status("updates")),
    Measure("spike_feed_frames_total", "counter", "Frames of the feed.", _status("frames")),
    Measure("spike_feed_rejected_total", "counter", "Frames or updates that could not be read.", _status("rejected")),
    Measure("spike_feed_unknown_total", "counter", "Updates of instruments nobody asked for.", _status("unknown")),
    Measure("spike_feed_late_total", "counter", "Trades told after their minute was closed.", _status("late")),
    Measure("spike_feed_repeats_total", "counter", "Updates that said nothing new.", _status("repeats")),
    Measure("spike_feed_gaps_total", "counter", "Rows of the gap ledger.", _each(lambda w: w.tally.gaps), ("kind",)),
    Measure("spike_instruments", "gauge", "Instruments the engine knows.", _status("instruments")),
    # ---- signals and filter
    Measure("spike_candidates_total", "counter", "Candidates by verdict (watched, refused, passed) and the rule that refused.",
            _each(lambda w: w.tally.candidates), ("verdict", "reason")),
    Measure("spike_signals_total", "counter", "Candidates that passed every rule.", lambda w: len(w.tally.passed)),
    Measure("spike_signals_last_hour", "gauge", "Signals of the last hour of market time.",
            lambda w: w.tally.signals("hour", w.now_ns)),
    Measure("spike_signals_last_day", "gauge", "Signals of the last 24 hours of market time.",
            lambda w: w.tally.signals("day", w.now_ns)),
    Measure("spike_gate_denials_total", "counter", "Signals the gate denied, by its reason.", _each(lambda w: w.tally.denied),
            ("reason",)),
    Measure("spike_filter_accuracy_ratio", "gauge",
            "Share of the last day's scored candidates on which filter and market agree: passed and a quarter of the move still "
            "there a minute later, or refused and the move gone. No label of an artefact is behind it.",
            lambda w: found[0] if (found := _accuracy(w)) else None),
    Measure("spike_filter_judged_candidates", "gauge", "Candidates behind spike_filter_accuracy_ratio.",
            lambda w: found[1] if (found := _accuracy(w)) else None),
    Measure("spike_model_drift_psi", "gauge", "Population stability index of a feature against the model's training.",
            _each(_psi), ("feature",)),
    Measure("spike_model_age_seconds", "gauge", "Since the active model was trained.", lambda w: w.model_age_s),
    # ---- orders
    Measure("spike_orders_total", "counter", "Orders placed.", _status("orders")),
    Measure("spike_order_requests_total", "counter", "Requests sent to the broker (or to paper's matching).",
            _each(lambda w: w.tally.requests), ("request",)),
    Measure("spike_order_answers_total", "counter", "Answers by outcome: accepted, refused, throttled, ambiguous, halted.",
            _each(lambda w: w.tally.outcomes), ("request", "outcome")),
    Measure("spike_order_answer_seconds", "histogram", "From a request's first byte to the broker's answer.",
            lambda w: w.tally.answers, ("request",)),
    Measure("spike_order_round_trip_median_seconds", "gauge", "Median of the last 500 round trips.", _status("order_p50", SECOND)),
    Measure("spike_order_round_trip_max_seconds", "gauge", "Longest of the last 500 round trips.", _status("order_max", SECOND)),
    Measure("spike_orders_rejected_total", "counter", "Orders that broker or exchange turned down.", lambda w: w.tally.rejected),
    Measure("spike_order_stream_up", "gauge", "1 while the stream of order updates is connected.",
            lambda w: int(w.tally.is_up[STREAM_ORDERS])),
    Measure("spike_request_budget_used", "gauge", "Requests within the window.",
            lambda w: [((name,), w.tally.used(name, w.now_ns)) for name in REQUEST_LIMITS], ("window",)),
    Measure("spike_request_budget_limit", "gauge", "Requests allowed within the window; entries stop before it.",
            _limits(REQUEST_LIMITS), ("window",)),
    Measure("spike_entry_budget_used", "gauge", "Entry orders within the window.",
            lambda w: [((name,), w.tally.entries(name, w.now_ns)) for name in ENTRY_LIMITS], ("window",)),
    Measure("spike_entry_budget_limit", "gauge", "Entry orders allowed within the window.", _limits(ENTRY_LIMITS), ("window",)),
    # ---- the path of a tick
    Measure("spike_stage_seconds", "histogram", "From a frame's receipt to the end of a stage, of frames with a candidate.",
            lambda w: w.tally.stages, ("stage",)),
    Measure("spike_tick_path_seconds", "gauge", "Time inside the frame callback, by quantile.", _tick_path, ("quantile",)),
    # ---- money
    Measure("spike_day_realised_rupees", "gauge", "Realised today, before charges.", lambda w: w.realised / PAISE),
    Measure("spike_day_charges_rupees", "gauge", "Charges of today's fills.", lambda w: w.charges / PAISE),
    Measure("spike_day_open_rupees", "gauge", "Result of what is held, at the last price.", lambda w: w.open / PAISE),
    Measure("spike_day_net_rupees", "gauge", "Realised and open result after charges.", lambda w: w.net / PAISE),
    Measure("spike_equity_rupees", "gauge", "The account by which limits are reckoned.", _status("equity", PAISE)),
    Measure("spike_available_rupees", "gauge", "Funds that are free.", _status("available", PAISE)),
    Measure("spike_exposure_rupees", "gauge", "Value of all positions and working entries.", _status("exposure", PAISE)),
    Measure("spike_positions", "gauge", "Positions held.",
            lambda w: sum(1 for p in w.state.positions.values() if p["quantity"])),
    Measure("spike_positions_without_stop", "gauge", "Positions without a stop or another exit at the broker.",
            lambda w: len(w.tally.naked)),
    Measure("spike_trades_closed_total", "counter", "Positions closed.", lambda w: len(w.closed)),
    Measure("spike_trades_win_ratio", "gauge", "Share of today's closed trades that earned something after costs.",
            lambda w: figures.win_rate(w.trades)),
    Measure("spike_trade_duration_mean_seconds", "gauge", "Mean time a trade was held.", lambda w: figures.mean_seconds(w.trades)),
    Measure("spike_losing_streak", "gauge", "Losing trades in a row.", lambda w: figures.losing_streak(w.trades)),
    Measure("spike_sharpe_ratio", "gauge", "Mean daily net result over its standard deviation, times the root of 252, over the "
            "days known, today included.", _sharpe),
    Measure("spike_days_known", "gauge", "Days behind spike_sharpe_ratio.", lambda w: len(w.days) + 1),
    Measure("spike_max_drawdown_ratio", "gauge", "Largest loss from a best result of the account: earlier days as a whole, today "
            "by closed trades.", _drawdown),
    # ---- store, machine, alerts
    Measure("spike_store_rows_total", "counter", "Updates stored in ClickHouse.", lambda w: w.store.get("stored")),
    Measure("spike_store_lag_rows", "gauge", "Updates that are not in ClickHouse yet.", lambda w: w.store_lag_rows),
    Measure("spike_store_lag_seconds", "gauge", "Age of the oldest update that is not in ClickHouse yet.", lambda w: w.store_lag_s),
    Measure("spike_store_in_trouble", "gauge", "1 while ClickHouse or the disk does not take what it is given.",
            lambda w: int(bool(w.store.get("trouble") or w.store.get("drain"))) if w.store else None),
    Measure("spike_disk_free_bytes", "gauge", "Free on the disk of the run folder.", lambda w: w.disk_free),
    Measure("spike_disk_fill_bytes_per_second", "gauge", "How fast that disk fills.", lambda w: w.disk_rate),
    Measure("spike_token_remaining_seconds", "gauge", "Until the broker's token expires.", lambda w: w.token_s),
    Measure("spike_alerts_firing", "gauge", "Alerts that stand, by severity.", _each(lambda w: w.firing), ("severity",)),
    Measure("spike_alert_channel_up", "gauge", "1 while a way of telling alerts works.",
            lambda w: [((c.name,), int(not c.dead_since)) for c in w.channels], ("channel",)),
    Measure("spike_alert_messages_total", "counter", "Messages by what became of them.",
            lambda w: [((c.name, what), value) for c in w.channels
                       for what, value in (("sent", c.sent), ("failed", c.failed), ("dropped", c.dropped))],
            ("channel", "outcome")),
)


class Metrics:
    """Owns its registry. `update` is called by whoever follows the run, `text` from any thread: a scrape sees one moment whole."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        self._families: list[Metric] = []

    def update(self, view: Watched) -> None:
        """Takes the figures of this moment."""
        self._families = [_family(measure, measure.of(view)) for measure in TABLE]

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield from self._families

    def text(self) -> bytes:
        """What a scrape gets; content type `text/plain; version=0.0.4; charset=utf-8`."""
        return generate_latest(self.registry)


def _family(measure: Measure, value: Any) -> Metric:
    if measure.kind == "histogram":
        return _histogram(measure, value)
    kind = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    family = kind(measure.name, measure.words, labels=measure.labels)
    samples = [] if value is None else [((), value)] if not measure.labels else value
    for labels, number in samples:
        family.add_metric([str(label) for label in labels], float(number))
    return family


def _histogram(measure: Measure, parts: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(measure.name, measure.words, labels=measure.labels)
    for label, part in parts.items():
        total, buckets = 0, []
        for edge, count in zip((*part.edges, None), part.counts, strict=True):
            total += count
            buckets.append(("+Inf" if edge is None else repr(edge / 1e9), float(total)))
        family.add_metric([label], buckets, sum_value=part.sum / 1e9)
    return family
