"""`python tools/dashboards.py` writes the Grafana dashboards in engine/watch/grafana from the panels below; `--check` names those
that differ and exits 1. They are typed objects: a misspelt field is an error here, not an empty panel there.
"""
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "engine" / "watch" / "grafana"
SOURCE = DataSourceRef("prometheus", "${source}")
WIDE, NARROW, SMALL, TALL = 12, 4, 4, 8


@dataclass(frozen=True)
class P:
    """A panel: (expression, legend) of each of its lines. `limits`: from which value on it is (yellow, red), or below which (red,
    yellow) where `is_floor`. A single value where `is_stat`."""
    title: str
    unit: str
    lines: Sequence[tuple[str, str]]
    words: str = ""
    is_stat: bool = False
    limits: tuple[float, float] | None = None
    is_floor: bool = False


def q(share: str, metric: str, label: str) -> tuple[str, str]:
    rates = f"sum by(le, {label}) (rate({metric}_bucket[5m]))"
    return f"histogram_quantile({share}, {rates})", f"{{{{{label}}}}} p{float(share) * 100:g}"


RUN: dict[str, Sequence[P]] = {
    "Now": (
        P("Engine", "bool_on_off", [("spike_engine_up", "")], "On while it has beaten within three seconds.", True, (0.5, 1), True),
        P("Feed", "bool_on_off", [("spike_feed_up", "")], "", True, (0.5, 1), True),
        P("Filter", "bool_on_off", [("spike_filter_on", "")], "Off: every candidate is refused.", True, (0.5, 1), True),
        P("Day, after charges", "currencyINR", [("spike_day_net_rupees", "")], "Realised and open.", True, (-5000, 0), True),
        P("Positions without a stop", "short", [("spike_positions_without_stop", "")], "", True, (1, 1)),
        P("Alerts", "short", [("sum(spike_alerts_firing)", "")], "That stand now.", True, (1, 3)),
    ),
    "Money": (
        P("P&L of the day", "currencyINR", [("spike_day_net_rupees", "after charges"),
                                            ("spike_day_realised_rupees", "realised"), ("spike_day_open_rupees", "open"),
                                            ("-spike_day_charges_rupees", "charges")]),
        P("Share of the account", "percentunit", [("spike_day_net_rupees / spike_equity_rupees", "day"),
                                                  ("-spike_max_drawdown_ratio", "largest drawdown")],
          "Alerts begin at -1 %, entries end at -2 %."),
        P("Exposure", "currencyINR", [("spike_exposure_rupees", "exposure"), ("spike_available_rupees", "free funds"),
                                      ("spike_equity_rupees", "account")]),
        P("Positions and losing streak", "short", [("spike_positions", "positions"), ("spike_losing_streak", "losers in a row"),
                                                   ("spike_trades_closed_total", "trades closed")]),
        P("Trades that earned after costs", "percentunit", [("spike_trades_win_ratio", "")], "", True),
        P("Mean time of a trade", "s", [("spike_trade_duration_mean_seconds", "")], "", True),
        P("Sharpe", "none", [("spike_sharpe_ratio", "")], "Of daily results, a year's; nothing before the second day.", True),
        P("Days behind it", "none", [("spike_days_known", "")], "", True),
    ),
    "Signals": (
        P("Candidates by verdict", "short", [("sum by(verdict) (increase(spike_candidates_total[5m]))", "{{verdict}}")],
          "Of five minutes."),
        P("Refused by which rule", "short",
          [('sum by(reason) (increase(spike_candidates_total{verdict="refused"}[15m]))', "{{reason}}")], "Of 15 minutes."),
        P("Denied by the gate", "short", [("sum by(reason) (increase(spike_gate_denials_total[15m]))", "{{reason}}")]),
        P("Signals", "short", [("increase(spike_signals_total[5m])", "five minutes"),
                               ("spike_signals_last_hour", "last hour"), ("spike_signals_last_day", "last day")]),
        P("Filter and market agree", "percentunit", [("spike_filter_accuracy_ratio", "")],
          "Passed and a quarter of the move still there a minute later, or refused and gone.", True),
        P("Candidates behind it", "short", [("spike_filter_judged_candidates", "")], "", True),
        P("Model's age", "s", [("spike_model_age_seconds", "")], "", True),
        P("Drift: the ten most", "none", [("topk(10, spike_model_drift_psi)", "{{feature}}")], "PSI; above 0.25 it has drifted."),
    ),
    "Orders": (
        P("Requests", "short", [("sum by(request) (increase(spike_order_requests_total[5m]))", "{{request}}")]),
        P("Answers", "short", [("sum by(outcome) (increase(spike_order_answers_total[5m]))", "{{outcome}}")]),
        P("Broker's answer", "s", [q("0.5", "spike_order_answer_seconds", "request"),
                                   q("0.99", "spike_order_answer_seconds", "request"),
                                   ("spike_order_round_trip_median_seconds", "median of the last 500"),
                                   ("spike_order_round_trip_max_seconds", "longest of the last 500")]),
        P("Rate budgets used", "percentunit", [
            ("spike_request_budget_used / on(window) group_left spike_request_budget_limit", "requests a {{window}}"),
            ("spike_entry_budget_used / on(window) group_left spike_entry_budget_limit", "entries a {{window}}")]),
        P("Orders and those turned down", "short", [("spike_orders_total", "placed"),
                                                    ("spike_orders_rejected_total", "turned down")]),
        P("Order stream", "bool_on_off", [("spike_order_stream_up", "")], "", True, (0.5, 1), True),
    ),
}
ENGINE: dict[str, Sequence[P]] = {
    "Process": (
        P("Up for", "s", [("spike_engine_uptime_seconds", "")], "", True),
        P("Heartbeat", "s", [("spike_engine_heartbeat_age_seconds", "")], "Age of the last one.", True, (3, 10)),
        P("Journal", "short", [("spike_journal_records_total", "")], "Records.", True),
        P("Journal full", "bool_yes_no", [("spike_journal_full", "")], "", True, (1, 1)),
        P("Token", "s", [("spike_token_remaining_seconds", "")], "Until it expires.", True, (3600, 7200), True),
        P("Troubles", "short", [("spike_troubles", "")], "As `status` lists them.", True, (1, 1)),
        P("State", "short", [("spike_trading_state == 1", "{{state}}"), ("spike_operator_state == 1", "operator: {{state}}"),
                             ("spike_session_open", "session")]),
        P("Restarts", "short", [("spike_process_restarts_total", "{{process}}")]),
        P("Memory", "bytes", [("spike_process_memory_bytes", "{{process}}")]),
        P("Watch's figures are old", "s", [("time() - spike_watch_updated_timestamp_seconds", "age"),
                                           ("time() - spike_market_timestamp_seconds", "market time behind this clock")]),
    ),
    "Path of a tick": (
        P("From receipt to the end of a stage", "s", [q("0.5", "spike_stage_seconds", "stage"),
                                                      q("0.99", "spike_stage_seconds", "stage")],
          "Of frames with a candidate."),
        P("Inside the frame callback", "s", [("spike_tick_path_seconds", "p{{quantile}}")]),
    ),
    "Feed": (
        P("Updates", "cps", [("rate(spike_feed_updates_total[1m])", "updates"), ("rate(spike_feed_frames_total[1m])", "frames")]),
        P("Silence", "s", [("spike_feed_silence_seconds", "")], "Market time since the last frame."),
        P("Gaps", "short", [("sum by(kind) (increase(spike_feed_gaps_total[15m]))", "{{kind}}")]),
        P("What is wrong with updates", "cps", [(f"rate(spike_feed_{name}_total[5m])", name)
                                                for name in ("rejected", "unknown", "late", "repeats")]),
        P("Reconnects", "short", [("spike_feed_reconnects_total", "")], "", True),
        P("Instruments", "short", [("spike_instruments", "")], "", True),
    ),
    "Store, machine, alerts": (
        P("Rows stored", "cps", [("rate(spike_store_rows_total[1m])", "")]),
        P("Behind the journal", "s", [("spike_store_lag_seconds", "")], "Age of the oldest update that is not stored."),
        P("Rows behind", "short", [("spike_store_lag_rows", "")], "", True),
        P("Store in trouble", "bool_yes_no", [("spike_store_in_trouble", "")], "", True, (1, 1)),
        P("Disk, free", "bytes", [("spike_disk_free_bytes", "")], "", True, (2e9, 1e10), True),
        P("Disk fills by", "Bps", [("spike_disk_fill_bytes_per_second", "")], "", True),
        P("Messages", "short", [("spike_alert_messages_total", "{{channel}} {{outcome}}")]),
        P("Ways alerts are told", "bool_on_off", [("spike_alert_channel_up", "{{channel}}")]),
        P("Alerts by severity", "short", [("spike_alerts_firing", "{{severity}}")]),
        P("Watched run", "none", [("spike_run_info", "{{run}} {{mode}} {{day}} {{version}}")]),
    ),
}
DASHBOARDS = {"run": ("Spike: the day", RUN), "engine": ("Spike: the engine", ENGINE)}


def panel(p: P) -> stat.Panel | timeseries.Panel:
    made = (stat.Panel() if p.is_stat else timeseries.Panel()).title(p.title).unit(p.unit).datasource(SOURCE)
    made = made.description(p.words) if p.words else made
    made = made.height(SMALL if p.is_stat else TALL).span(NARROW if p.is_stat else WIDE)
    for number, (expr, legend) in enumerate(p.lines):
        made = made.with_target(prometheus.Dataquery().expr(expr).legend_format(legend or "__auto").ref_id(chr(ord("A") + number))
                                .datasource(SOURCE))
    if p.limits is not None:
        colours = ("red", "yellow", "green") if p.is_floor else ("green", "yellow", "red")
        steps = [Threshold(None, colours[0]), *(Threshold(at, colour) for at, colour in zip(p.limits, colours[1:], strict=True))]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return made


def text_of(name: str) -> str:
    """The dashboard's file."""
    title, rows = DASHBOARDS[name]
    made = (dashboard.Dashboard(title).uid(f"spike-{name}").tags(["spike"]).refresh("5s").time("now-3h", "now")
            .timezone("Asia/Kolkata").with_variable(dashboard.DatasourceVariable("source").type("prometheus").label("Prometheus")))
    for row, panels in rows.items():
        made = made.with_row(dashboard.Row(row))
        for p in panels:
            made = made.with_panel(panel(p))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    differ = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", text_of(name)
        if not path.exists() or path.read_text() != text:
            differ.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if differ:
        print(", ".join(differ), "differ: `python tools/dashboards.py`" if "--check" in sys.argv else "written")
    return 1 if differ and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
