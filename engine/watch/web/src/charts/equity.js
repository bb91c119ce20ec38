// Equity (net, realised, open) and, beside it on the same cursor, the drawdown. Paise in, rupees drawn.
import { atTime, mounted, xAxis, yAxis } from './axes.js';

const rupees = (column) => column.map((paise) => (paise == null ? null : paise / 100));
const said = (_, value) =>
  value == null ? '–' : value.toLocaleString('en-IN', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const seconds = (columns) => columns.t_us.map((us) => us / 1e6);
const SYNC = { key: 'equity' };

/** Columns {t_us, net, realised, open}. */
export function equityChart(parent, columns) {
  const data = (of) => [seconds(of), rupees(of.net), rupees(of.realised), rupees(of.open)];
  const chart = mounted(
    parent,
    (w, h, c) => ({
      cursor: { sync: SYNC, drag: { x: true, y: false } },
      axes: [xAxis(c), yAxis(c)],
      series: [
        { label: 'Time', value: atTime },
        { label: 'Net', stroke: c.main, width: 2, fill: `${c.main}22`, value: said },
        { label: 'Realised', stroke: c.ink, width: 1, dash: [5, 3], value: said },
        { label: 'Open', stroke: c.more, width: 1, dash: [2, 2], value: said },
      ],
    }),
    data(columns),
  );
  return { ...chart, set: (fresh) => chart.set(data(fresh)) };
}

/** Columns {t_us, drawdown} (paise below the best, positive). */
export function drawdownChart(parent, columns) {
  const data = (of) => [seconds(of), rupees(of.drawdown).map((value) => (value == null ? null : -Math.abs(value)))];
  const chart = mounted(
    parent,
    (w, h, c) => ({
      cursor: { sync: SYNC, drag: { x: true, y: false } },
      axes: [xAxis(c), yAxis(c)],
      series: [
        { label: 'Time', value: atTime },
        { label: 'Drawdown', stroke: c.down, width: 1.5, fill: `${c.down}33`, value: said },
      ],
    }),
    data(columns),
  );
  return { ...chart, set: (fresh) => chart.set(data(fresh)) };
}
