"""The model's report: one HTML page of figures to look at, and the card in Markdown that stays beside the model."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io import to_html
from plotly.subplots import make_subplots
from sklearn.cluster import DBSCAN
from sklearn.metrics import precision_recall_curve, roc_curve

from _ext.signals.features import DESCRIBED, FEATURES
from engine.lab.dataset import SORTS, SOURCES, Dataset
from engine.lab.evaluate import ENOUGH, FROM, Scores, guarded
from engine.lab.evaluate import KEPT as KEPT_LEAST
from engine.lab.evaluate import REMOVED as REMOVED_LEAST
from engine.lab.members import Scale
from engine.lab.train import KEPT, LEFT_OUT, Rows
from engine.sim.recorded import Recording

MEASURED = {(4.0, 6.0): ((.47, .77, .81, .79), (.13, .27, .55, .33)), (6.0, 6.0): ((.87, .90, .96, .91), (.53, .74, .79, .74)),
            (8.0, 6.0): ((.92, .97, .98, .99), (.82, .84, .92, .94)), (8.0, 10.0): ((.96, .98, 1.0, .99), (.88, .95, .98, .95)),
            (10.0, 6.0): ((.99, 1.0, 1.0, 1.0), (.97, .97, .94, .97))}
"""docs/market.md 1.4: shares found at 0.5 and at 0.6 by (size, volume), at ramps of 2, 15, 60 and 110 s."""
AROUND_MS = 90_000
EXAMPLES = 6
INK, KEPT_INK, REFUSED_INK = "#334155", "#15803d", "#b91c1c"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Noise filter {sha}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#0f172a}}
table{{border-collapse:collapse;margin:1em 0}}td,th{{padding:.25em .7em;border-bottom:1px solid #e2e8f0;text-align:right}}
td:first-child,th:first-child{{text-align:left}}h2{{margin-top:2em}}p.note{{color:#475569}}</style>{body}</html>"""


def table(head: list[str], rows: list[list[Any]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{v}</td>" for v in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{h}</th>" for h in head) + f"</tr>{cells}</table>"


def page(card: dict[str, Any], cross: Rows, probability: np.ndarray, unseen: Dataset, scores: Scores, example: Recording,
         examples: Dataset) -> str:
    """The whole report. `cross`, `probability`: rows and scores of cross-validation; `unseen`: candidates of days no model saw;
    `examples`: candidates of `example`, to be drawn."""
    figures = [curves(cross, probability), calibrated(card), importances(card), clusters(unseen, card["features"]),
               drawn(example, examples, scores, card["threshold"])]
    titles = ["How well it ranks", "What its score means", "What it looks at", "Clusters of candidates (DBSCAN)",
              "Candidates to look at"]
    notes = ["Cross-validation over days, a day left out between: rows of days the model of that fold never saw.",
             "Share of genuine candidates among those with a score, in the mix the score is meant for.",
             "Share of the trees' splits, by what they gained.",
             "Two main directions of the scaled features; a cluster that holds one kind is a kind the features tell apart.",
             "Ninety seconds before and after: last price and quotes. Green was kept, red refused; the dotted line is the tick."]
    body = [f"<h1>Noise filter {card['sha256'][:16]}</h1><p>{about(card)}</p>", outcome_table(card),
            confusion(card, cross, probability)]
    if "sequence" in card:
        body.append("<h2>A net over the 64 minutes before, by the same folds</h2>" + table(["", "removed", "AUC"], [
            [name, v["removed"], v["auc"]] for name, v in card["sequence"].items()]))
    for k, (title, note, figure) in enumerate(zip(titles, notes, figures, strict=True)):
        body.append(f"<h2>{title}</h2><p class=note>{note}</p>" + to_html(figure, full_html=False, include_plotlyjs=k == 0))
    head, *rows = feature_rows(card)
    body.append("<h2>Features and what can supply them</h2>" + table(head, rows))
    return PAGE.format(sha=card["sha256"][:16], body="".join(body))


def about(card: dict[str, Any]) -> str:
    where = card["about"]
    return (f"Learned from {where['source']}" + "".join(f", {k} {v}" for k, v in where.items() if k != "source")
            + f": {sum(card['rows'].values()):,} rows. It tells what is no move at all (a bad print, a sweep and back, a wide "
            "empty book) from a move. It does not predict direction: on the recordings we have, nothing does beyond noise "
            "(docs/outcomes.md). Nothing here promises profit.")


def span(interval: list[float]) -> str:
    """A 95 % interval of a share; nothing where there are too few blocks for one."""
    return f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else ""


def outcome_table(card: dict[str, Any]) -> str:
    rows = []
    times = card.get("unseen", {}).get("times", {})
    for name, part in times.items():
        rows.append([name.replace("_", " "), part["artefacts"], part["removed_mean_of_kinds"], part["removed_all"],
                     span(part["removed_interval"]), part["kept_all"], span(part["kept_interval"]), part["kept_planted"],
                     span(part["kept_planted_interval"]), part["accuracy"]])
    return "<h2>On days it has not seen</h2>" + table(
        ["", "artefacts", "removed, mean of kinds", "removed, all", "95 %", "genuine kept", "95 %", "of them planted", "95 %",
         "accuracy"], rows) + "".join(
        f"<h3>{name.replace('_', ' ')}</h3>" + table(["kind", "candidates", "removed / kept"], [
            *[[k, v["count"], v["removed"]] for k, v in part["kinds"].items()],
            *[[k, v["count"], v["kept"]] for k, v in part["genuine"].items()]])
        for name, part in times.items() if name.endswith("filter"))


def confusion(card: dict[str, Any], rows: Rows, probability: np.ndarray) -> str:
    passed = probability >= card["threshold"]
    return "<h2>Confusion at the operating point, cross-validation</h2>" + table(["", "kept", "refused"], [
        [name, int((passed & mine).sum()), int((~passed & mine).sum())]
        for name, mine in (("genuine", rows.y), ("artefact", ~rows.y))])


def curves(rows: Rows, probability: np.ndarray) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=("ROC", "precision and recall of genuine"))
    for waited, name in ((0, "at the tick"), (1, "next update")):
        mine = rows.waited == waited
        false, true, _ = roc_curve(rows.y[mine], probability[mine], sample_weight=rows.weight[mine])
        precision, recall, _ = precision_recall_curve(rows.y[mine], probability[mine], sample_weight=rows.weight[mine])
        figure.add_scatter(x=false, y=true, name=name, row=1, col=1)
        figure.add_scatter(x=recall, y=precision, name=name, row=1, col=2, showlegend=False)
    figure.update_xaxes(title_text="artefacts kept", row=1, col=1)
    figure.update_yaxes(title_text="genuine kept", row=1, col=1)
    figure.update_xaxes(title_text="recall", row=1, col=2)
    return figure.update_layout(height=420, template="plotly_white")


def calibrated(card: dict[str, Any]) -> go.Figure:
    points = card["cross_validation"]["calibration"]
    figure = go.Figure([go.Scatter(x=[p["mean"] for p in points], y=[p["genuine"] for p in points], mode="lines+markers",
                                   text=[f"{p['rows']} rows" for p in points], name="cross-validation"),
                        go.Scatter(x=[0, 1], y=[0, 1], line={"dash": "dot", "color": "#94a3b8"}, name="exact")])
    return figure.update_layout(height=380, template="plotly_white", xaxis_title="score", yaxis_title="share of genuine")


def importances(card: dict[str, Any]) -> go.Figure:
    top = list(card["importance"].items())[:20][::-1]
    return go.Figure(go.Bar(x=[v for _, v in top], y=[k for k, _ in top], orientation="h", marker_color=INK)).update_layout(
        height=520, template="plotly_white")


def clusters(data: Dataset, names: list[str]) -> go.Figure:
    """DBSCAN of the scaled features, drawn on their two main directions."""
    x = data.first[:, [FEATURES.index(n) for n in names]]
    whole = np.flatnonzero(~np.isnan(x).any(axis=1))[:1500]
    z = Scale.of(x[whole])(x[whole])
    nearest = np.sort(np.linalg.norm(z[:, None, :] - z[None, :, :], axis=2), axis=1)[:, 10]
    found = DBSCAN(eps=float(np.quantile(nearest, 0.6)), min_samples=10).fit_predict(z)
    _, _, axes = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    flat = z @ axes[:2].T
    figure = go.Figure()
    for k in np.unique(found):
        mine = found == k
        figure.add_scatter(x=flat[mine, 0], y=flat[mine, 1], mode="markers", text=data.kind[whole][mine],
                           name="apart" if k < 0 else f"cluster {k + 1}", marker={"size": 5, "opacity": 0.6})
    return figure.update_layout(height=460, template="plotly_white")


def drawn(recording: Recording, data: Dataset, scores: Scores, threshold: float) -> go.Figure:
    """Refused and kept candidates, half of each, on the ticks around them."""
    there = ~np.isnan(data.second[:, 0])
    score = np.where(there, scores(np.where(there[:, None], data.second, data.first)), np.nan)
    passed = (score >= threshold) & ~guarded(data.second)
    artefact = data.is_artefact
    chosen = [*np.flatnonzero(~passed & artefact & there)[:EXAMPLES // 2], *np.flatnonzero(passed & ~artefact)[:EXAMPLES // 2]]
    titles = [f"{data.name[k]}: {data.kind[k]}, score {score[k]:.2f}" for k in chosen]
    figure = make_subplots(max((len(chosen) + 1) // 2, 1), 2, subplot_titles=titles, vertical_spacing=0.09)
    for panel, k in enumerate(chosen):
        spec = next(s for s in recording.specs if s.symbol == data.name[k])
        at = int(data.id[k])
        mine = (recording.rows["key"] == spec.key.encode()) & (np.abs(recording.rows["ltt"] - at) < AROUND_MS)
        rows, t = recording.rows[mine], (recording.received[mine] - at) / 1000
        row, col = panel // 2 + 1, panel % 2 + 1
        for field, name in (("bidP", "bid"), ("askP", "ask")):
            quote = rows["levels"][field][:, 0] / 100
            figure.add_scatter(x=t, y=np.where(quote > 0, quote, np.nan), name=name, row=row, col=col, showlegend=False,
                               line={"color": "#94a3b8", "width": 1, "shape": "hv"})
        figure.add_scatter(x=t, y=rows["ltp"] / 100, name="last price", row=row, col=col, showlegend=False,
                           line={"color": KEPT_INK if passed[k] else REFUSED_INK, "width": 1.5, "shape": "hv"})
        figure.add_vline(x=0, row=row, col=col, line={"dash": "dot", "color": INK})
    return figure.update_layout(height=320 * max((len(chosen) + 1) // 2, 1), template="plotly_white")


def feature_rows(card: dict[str, Any]) -> list[list[str]]:
    """Heading and rows: each feature, which source can supply it, and whether the model uses it or why not."""
    rows = [["feature", "unit", "range", *SOURCES, "in the model"]]
    for name, unit, values, needs in DESCRIBED:
        use = "yes" if name in card["features"] else LEFT_OUT.get(name, "not in 95 % of the rows")
        rows.append([name, unit, values, *["x" if needs in SOURCES[s] else "" for s in SOURCES], use])
    return rows


def markdown(card: dict[str, Any]) -> str:
    """The card: what the model is, how it was learned, what it did on what it had not seen."""
    cross = card["cross_validation"]
    lines = [
        "# Noise filter", "",
        f"Model `{card['sha256'][:16]}`, features hash `{card['features_hash']}`, passes at P(genuine) >= {card['threshold']}. "
        + ("None of its rows is real market data. " if card["about"]["source"] == "generator" else "")
        + f"Rebuild it with `{card.get('command', 'python -m engine train')}`.", "", about(card), "",
        "## Members", "",
        f"Removed where {KEPT[0]:.1%} (at the tick) and {KEPT[1]:.1%} (later) of the genuine are kept, mean of kinds and of both "
        "times, "
        f"cross-validation over {cross['folds']} blocks of days with a day left out on either side:", "",
        "| | removed | vote |", "| --- | --- | --- |",
        *[f"| {name} | {cross['removed'][name]:.1%} | {cross['weights'].get(name, 1.0):.1f} |" for name in (
            "trees", "forest", "outliers", "logistic")],
        f"| the vote | {cross['removed']['hybrid']:.1%} | |", "",
        "A member whose vote is 0 was not worth half a point more and is not in the file. The score is a probability for a mix of "
        f"{cross['genuine_for_each_artefact'][0]} genuine for each artefact at the tick and "
        f"{cross['genuine_for_each_artefact'][1]} at the next update: chosen so that the seed's threshold "
        "keeps those shares of the genuine in cross-validation.", "", *sequence_lines(card)]
    for title, part in (("Generated days from other seeds, kinds it never saw among them", card.get("unseen")),
                        ("Injected into a recorded session of the real feed, instruments it never saw", card.get("recorded"))):
        if part:
            lines += [f"## {title}", "", *artefact_lines(part["times"]), ""]
    lines += sort_lines(card) + recall_lines(card)
    head, *rows = feature_rows(card)
    lines += ["## Features", "", "The model's, in order: " + ", ".join(f"`{name}`" for name in card["features"]) + ".", "",
              "| " + " | ".join(head) + " |", "| --- " * len(head) + "|", *["| " + " | ".join(row) + " |" for row in rows], ""]
    return "\n".join(lines)


def sort_lines(card: dict[str, Any]) -> list[str]:
    """By sort of instrument, by the next trade update: what is kept of the planted genuine and removed of the artefacts."""
    parts = {"generated, left out in turn": card.get("in_turn"),
             "generated days it has not seen": card.get("unseen", {}).get("sorts"),
             "generated contracts": card.get("contracts"), "recorded session": card.get("recorded", {}).get("sorts")}
    if not any(parts.values()):
        return []
    return ["## By sort of instrument, by the next trade update", "",
            "Stocks that are generated are left out in turn, in groups; no contract and nothing recorded is learned from at all. A "
            f"sort is measured with {ENOUGH} planted genuine and {ENOUGH} artefacts that became candidates, of {FROM} instruments "
            f"at least; it holds where {KEPT_LEAST:.0%} of the one are kept and {REMOVED_LEAST:.0%} of the other removed. What is "
            "not measured is not traded by default (`signals.kinds`).", "",
            "| instruments | where | how many | genuine kept [95 %] | artefacts removed [95 %] | |",
            "| --- | --- | --- | --- | --- | --- |", *sort_rows(parts), ""]


def sort_rows(parts: Mapping[str, dict[str, Any] | None]) -> list[str]:
    """A row of the card for each sort in each of `parts`."""
    out = []
    for sort in ("stock", *SORTS):
        found = {where: part[sort] for where, part in parts.items() if part and sort in part}
        for where, row in found.items():
            said = "unmeasured" if not row["is_measured"] else "holds" if row["holds"] else "does not hold"
            out.append(f"| {sort} | {where} | {row['instruments']} | {shares(row, 'genuine', 'kept')} | "
                       f"{shares(row, 'artefacts', 'removed')} | {said} |")
        if not found:
            out.append(f"| {sort} | nowhere | 0 | | | unmeasured |")
    return out


def shares(row: dict[str, Any], count: str, share: str) -> str:
    """How many there were, and the share with its interval."""
    return f"{row[count]}: " + ("-" if row[share] is None else f"{row[share]:.1%} {span(row[f'{share}_interval'])}").strip()


def recall_lines(card: dict[str, Any]) -> list[str]:
    """Spikes planted into a day and found, by size, volume and ramp; in brackets the shares on real ticks (docs/market.md 1.4)."""
    if "recall" not in card:
        return []
    cells: dict[tuple[float, float], list[dict[str, Any]]] = {}
    for row in card["recall"]:
        cells.setdefault((row["size"], row["volume"]), []).append(row)
    ramps = " · ".join(f"{row['ramp_s']:g}" for row in next(iter(cells.values())))
    lines = ["## Detection", "", f"Spikes planted into a generated day and found, at ramps of {ramps} s; in brackets the shares "
             "measured on real ticks of 2021 (one day here is a dozen a cell: `train recall` counts more).", "",
             "| size and volume | at 0.5 | at 0.6 |", "| --- | --- | --- |"]
    for cell, rows in cells.items():
        said = []
        for k, level in enumerate(("0.5", "0.6")):
            known = f" ({' · '.join(f'{v:.2f}'.lstrip('0') for v in MEASURED[cell][k])})" if cell in MEASURED else ""
            said.append(" · ".join(f"{row[f'found_at_{level}']} of {row['planted']}" for row in rows) + known)
        lines.append(f"| {cell[0]:g} s1m x{cell[1]:g} | {said[0]} | {said[1]} |")
    return [*lines, ""]


def sequence_lines(card: dict[str, Any]) -> list[str]:
    """How a net over the minutes before did by the same folds, where it was asked for."""
    if "sequence" not in card:
        return []
    return ["A convolutional net over the 64 minutes before each candidate (`--sequence`), by the same folds:", "",
            "| | removed | AUC |", "| --- | --- | --- |",
            *[f"| {name} | {v['removed']:.1%} | {v['auc']:.3f} |" for name, v in card["sequence"].items()], ""]


def artefact_lines(part: dict[str, Any]) -> list[str]:
    lines = ["| | artefacts | removed, mean of kinds | removed, all [95 %] | genuine kept [95 %] | of those planted [95 %] | "
             "accuracy |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, v in part.items():
        mean, all_, planted, right = ("-" if v[k] is None else f"{v[k]:.1%}" for k in (
            "removed_mean_of_kinds", "removed_all", "kept_planted", "accuracy"))
        lines.append(f"| {name.replace('_', ' ')} | {v['artefacts']} | {mean} | {all_} {span(v['removed_interval'])} | "
                     f"{v['kept_all']:.1%} {span(v['kept_interval'])} | {planted} {span(v['kept_planted_interval'])} | {right} |")
    lines += ["", "| by the filter | candidates | at the tick | next update |", "| --- | --- | --- | --- |"]
    first, second = part["at_tick_filter"], part["next_update_filter"]
    lines += [f"| {k} | {v['count']} | {v['removed']:.1%} removed | {second['kinds'][k]['removed']:.1%} removed |"
              for k, v in first["kinds"].items()]
    lines += [f"| {k} | {v['count']} | {v['kept']:.1%} kept | {second['genuine'][k]['kept']:.1%} kept |"
              for k, v in first["genuine"].items()]
    return lines


def write(folder: Path, card: dict[str, Any], html: str | None = None) -> None:
    (folder / "card.md").write_text(markdown(card))
    if html is not None:
        (folder / "report.html").write_text(html)
