// The top of a report: what it is of, its figures with their intervals, what is to be known of them.
import { html, useMemo } from '../ui/html.js';
import { Canvas, Later, Tiles, between } from './parts.js';
import { depthChart, netChart } from './charts.js';
import { block } from './payload.js';
import { NONE, count, dayName, fixed, percent, rupees, tone } from '../format.js';

const money = (value, plus = true) => rupees(value == null ? null : Math.round(value * 100), plus);
const whole = (value, plus = true) => count(value == null ? null : Math.round(value), plus);
const two = (value) => fixed(value, 2);
const share = (value) => percent(value, 1);

export function Head({ head }) {
  const { days } = head;
  const span = days.length > 1 ? `${dayName(days[0])} to ${dayName(days.at(-1))}, ${count(days.length)} trading days` : dayName(days[0]);
  return html`<header class="report-head">
    <p class="kind">${head.kind === 'backtest' ? 'Backtest' : head.kind === 'week' ? 'Report of a week' : 'Report of a day'}${head.kind === 'backtest' ? '' : ` · ${head.what}`}</p>
    <h1>${span}</h1>
    <p class="faint">${head.runs.join(', ')} · account ₹ ${money(head.account, false)} · made ${dayName(head.made)} ${head.made.slice(11, 16)} India</p>
    ${head.problem && html`<p class="notice bad-notice" role="alert">${head.problem}</p>`}
    ${head.notes.length > 0 && html`<ul class="notes" aria-label="To be known">${head.notes.map((note, k) => html`<li key=${k}>${note}</li>`)}</ul>`}
  </header>`;
}

export function Figures({ head }) {
  const { summary: s, seen } = head, { interval } = s;
  return html`<${Tiles} rows=${[
    ['Net after costs, ₹', whole(s.net), interval.net ? between(interval.net, whole) : `${percent(s.total_return, 2, true)} of the account`, tone(s.net)],
    ['Trades', count(s.trades), s.open ? `${s.open} still open` : `${two(s.trades / Math.max(1, s.days))} a day`],
    ['Win rate after costs', share(s.win_rate), between(interval.win_rate, share)],
    ['A trade, bp net', fixed(s.average_bp, 1, true), between(interval.average_bp, (v) => fixed(v, 1, true)), tone(s.average_bp)],
    ['Profit factor', two(s.profit_factor), between(interval.profit_factor, two)],
    s.days > 1 && ['Sharpe, a year', two(s.sharpe), between(interval.sharpe, two)],
    ['Largest drawdown', percent(s.max_drawdown), s.drawdown_from && s.drawdown_from !== s.drawdown_to ? `${dayName(s.drawdown_from)} to ${dayName(s.drawdown_to)}` : ''],
    ['Costs, ₹', whole(s.charges, false), head.costs.bp_of_turnover == null ? '' : `${two(head.costs.bp_of_turnover)} bp of turnover`],
    ['Candidates seen', count(seen.candidates), seen.taken == null ? '' : `${count(seen.taken)} taken, ${count(seen.refused)} refused`],
    ['Time with a position', share(s.exposure), s.average_minutes == null ? '' : `${fixed(s.average_minutes, 1)} min a trade`],
  ]} /><p class="promise">${head.promise}</p>`;
}

export function Account({ head }) {
  return html`<${Later} of=${() => block(head, 'equity')}>${(columns) => html`<${Curves} head=${head} columns=${columns} />`}<//>`;
}

function Curves({ head, columns }) {
  const net = useMemo(() => netChart(columns), [columns]), depth = useMemo(() => depthChart(columns), [columns]);
  if (columns.rows < 3) return html`<p class="empty">${head.summary.trades ? 'Too few trades for a curve.' : 'Nothing was traded.'}</p>`;
  const worst = columns.drawdown.reduce((a, b) => Math.max(a, b), 0);
  return html`<${Canvas} make=${net} height=${280} label=${`Net result after each trade: ${rupees(columns.net.at(-1), true)} rupees at the end`} />
    <${Canvas} make=${depth} height=${160} label=${`Distance from the best result: ${rupees(worst)} rupees at most`} />`;
}

export { NONE, money, share, two, whole };
