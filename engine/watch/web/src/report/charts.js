// The account of a report: net and, on the same cursor, how far it is below its best.
import { mounted, uPlot, xAxis, yAxis } from '../charts/axes.js';
import { rupees } from '../format.js';

const SYNC = { key: 'report-account' };
const said = (_, value) => (value == null ? '–' : rupees(Math.round(value * 100), true));
const cursor = { sync: SYNC, drag: { x: true, y: false } };
/** The account is what it was until the next trade ends. */
const steps = uPlot.paths.stepped({ align: 1 });
const inRupees = (column) => Array.from(column, (paise) => paise / 100);

export const netChart = (columns) => (parent) => mounted(parent, (w, h, c) => ({
  cursor, axes: [xAxis(c), yAxis(c)],
  series: [{ label: 'Time' }, { label: 'Net after costs', stroke: c.main, width: 2, paths: steps, points: { show: false }, fill: `${c.main}22`, value: said }],
}), [Array.from(columns.time), inRupees(columns.net)]);

export const depthChart = (columns) => (parent) => mounted(parent, (w, h, c) => ({
  cursor, axes: [xAxis(c), yAxis(c)],
  series: [{ label: 'Time' }, { label: 'Below the best', stroke: c.down, width: 1.5, paths: steps, points: { show: false }, fill: `${c.down}33`, value: said }],
}), [Array.from(columns.time), inRupees(columns.drawdown).map((value) => -value)]);
