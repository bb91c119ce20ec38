// Costs, months and hours, distributions, and the groups of trades with their intervals.
import { html, useSignal } from '../ui/html.js';
import { Choice, Empty, Facts, Plain } from '../ui/parts.js';
import { HeatMap, Histogram } from '../charts/svg.js';
import { Whisker, between } from './parts.js';
import { money, share, two, whole } from './summary.js';
import { NONE, count, fixed, percent, tone } from '../format.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const short = (rupee) => {
  const size = Math.abs(rupee), sign = rupee < 0 ? '−' : '+';
  return sign + (size >= 1e5 ? `${(size / 1e5).toFixed(1)}L` : size >= 1e3 ? `${(size / 1e3).toFixed(1)}k` : size.toFixed(0));
};

export function Costs({ head }) {
  const { costs } = head, slip = head.slippage;
  return html`<div class="columns"><div><h3>Costs</h3><${Facts} rows=${[['Before costs, ₹', money(costs.gross)], ['Costs, ₹', money(costs.charges, false)],
    ['Net, ₹', money(costs.net), tone(costs.net)], ['A trade, ₹', money(costs.a_trade, false)], ['A day, ₹', money(costs.a_day, false)],
    ['Of turnover', costs.bp_of_turnover == null ? NONE : `${two(costs.bp_of_turnover)} bp`], ['Turnover, ₹', money(costs.turnover, false)],
    ['Of what winners earned', share(costs.share_of_winners)], ['Winners that costs made losers', count(costs.winners_lost_to_costs)]]} /></div>
    <div><h3>Slippage${slip ? ` against the ${slip.against}` : ''}</h3>${slip ? html`<${Slippage} slip=${slip} />` : html`<p class="faint">No quote of a decision is known: a backtest without journals keeps none, and a report without fills has none.</p>`}</div></div>`;
}

function Slippage({ slip }) {
  const rows = [['Entry', slip.entry], ['Exit', slip.exit]].filter(([, of]) => of);
  return html`<p class="faint">${slip.words}. ${count(slip.trades)} trades${slip.delay_s == null ? '' : `; at the median entries filled ${two(slip.delay_s)} s ${slip.against === 'quote' ? 'after the tick of the decision' : 'later than the backtest\'s'}`}.</p>
    <${Plain} label="Slippage in basis points" rows=${rows} rowKey=${(row) => row[0]} columns=${[['', (row) => row[0]], ['Mean', (row) => fixed(row[1].mean, 2, true), 'right num'],
      ['95 % over days', (row) => between(row[1].interval, (v) => fixed(v, 2, true)), 'right num'], ['Median', (row) => fixed(row[1].median, 2, true), 'right num'],
      ['5 %', (row) => fixed(row[1].p5, 2, true), 'right num'], ['95 %', (row) => fixed(row[1].p95, 2, true), 'right num']]} />
    ${slip.net && html`<p>Net ₹ ${money(slip.net.run)}; the backtest of the same inputs ₹ ${money(slip.net.made)}; what was still held counts at the best price shown last.</p>`}
    ${slip.rows.length > 0 && html`<${Plain} label="Each trade beside the backtest" rows=${slip.rows} rowKey=${(row) => row.day + row.symbol + (row.run?.entry_time ?? row.made?.entry_time)} columns=${[
      ['Day', (row) => row.day], ['Instrument', (row) => row.symbol || NONE], ['Decision', (row) => row.decision, 'wrap'], ['In, bp', (row) => fixed(row.entry_bp, 1, true), 'right num'],
      ['Out, bp', (row) => fixed(row.exit_bp, 1, true), 'right num'], ['Difference, ₹', (row) => money(row.net), 'right num'], ['Exit', (row) => row.run?.reason || NONE]]} />`}`;
}

export function Months({ head }) {
  const { monthly } = head;
  const tip = (r, c) => (monthly.net[r][c] == null ? undefined : `${MONTHS[c]} ${monthly.years[r]}: ₹ ${money(monthly.net[r][c])}, ${percent(monthly.share[r][c], 2, true)} of the account`);
  return html`<${HeatMap} label="Net result by month, rupees" rows=${monthly.years} columns=${MONTHS} cell=${(r, c) => monthly.net[r][c]} of=${short} title=${tip} />`;
}

export function Hours({ head }) {
  const { hourly } = head;
  if (!hourly.rows.length) return html`<${Empty}>Nothing was traded.<//>`;
  const tip = (r, c) => `${hourly.rows[r]} ${hourly.columns[c]}: ${count(hourly.trades[r][c])} trades${hourly.net[r][c] == null ? '' : `, ₹ ${money(hourly.net[r][c])}`}`;
  return html`<${HeatMap} label="Net result by weekday and half hour of entry, rupees" rows=${hourly.rows} columns=${hourly.columns} cell=${(r, c) => hourly.net[r][c]} of=${short} title=${tip} />`;
}

export function Distributions({ head }) {
  const { distributions: d } = head;
  if (!d.minutes.counts.length) return html`<${Empty}>Nothing was traded.<//>`;
  const one = (title, of, write, signed) => html`<div><h3>${title}</h3><${Histogram} label=${title} edges=${of.edges} counts=${of.counts} of=${write} signed=${signed}
    marks=${[['median', of.median]]} /><p class="faint num">mean ${write(of.mean)}, from ${write(of.low)} to ${write(of.high)}</p></div>`;
  return html`<div class="columns three">${one('Net result, bp of what was put in', d.result_bp, (v) => fixed(v, 1, true), true)}
    ${one('Net result, ₹', d.result_rupees, (v) => whole(v), true)}${one('Duration, minutes', d.minutes, (v) => fixed(Math.max(0, v), 1), false)}</div>`;
}

const NAMES = [['source', 'Source'], ['instrument', 'Instrument'], ['direction', 'Direction'], ['score', 'Score'], ['reason', 'Exit'], ['hour', 'Hour of entry']];
const IN_ORDER = new Set(['hour', 'score']);
const MOST = 25;

export function Groups({ head }) {
  const which = useSignal('source'), isWhole = useSignal(false);
  const entries = Object.entries(head.groups[which.value] ?? {});
  if (!entries.length) return html`<${Empty}>Nothing was traded.<//>`;
  if (!IN_ORDER.has(which.value)) entries.sort((a, b) => b[1].trades - a[1].trades);
  const shown = isWhole.value ? entries : entries.slice(0, MOST);
  const edges = shown.flatMap(([, row]) => [row.average_bp, ...(row.interval.average_bp ?? [])]).filter((v) => v != null);
  const low = Math.min(0, ...edges), high = Math.max(0, ...edges);
  const beyond = (interval) => (interval ? (interval[0] > 0 ? 'all of it above 0' : interval[1] < 0 ? 'all of it below 0' : '') : 'one day');
  return html`<${Choice} label="Grouped by" value=${which.value} options=${NAMES} onChoose=${(name) => { which.value = name; isWhole.value = false; }} />
    <${Plain} label=${`Trades by ${which.value}`} rows=${shown} rowKey=${(row) => row[0]} columns=${[['', ([name]) => html`<b>${name}</b>`], ['Trades', ([, row]) => count(row.trades), 'right num'],
      ['Net, ₹', ([, row]) => html`<span class=${tone(row.net)}>${money(row.net)}</span>`, 'right num'], ['95 %, ₹', ([, row]) => between(row.interval.net, (v) => whole(v)), 'right num'],
      ['Won', ([, row]) => share(row.win_rate), 'right num'], ['95 %', ([, row]) => between(row.interval.win_rate, (v) => percent(v, 0)), 'right num'],
      ['bp a trade', ([, row]) => fixed(row.average_bp, 1, true), 'right num'], ['95 %', ([, row]) => between(row.interval.average_bp, (v) => fixed(v, 1, true)), 'right num'],
      ['', ([, row]) => html`<${Whisker} value=${row.average_bp} interval=${row.interval.average_bp} low=${low} high=${high} />`], ['', ([, row]) => html`<span class="faint">${beyond(row.interval.net)}</span>`]]} />
    ${entries.length > MOST && html`<button class="button more" onClick=${() => { isWhole.value = !isWhole.value; }}>${isWhole.value ? 'Fewer' : `All ${count(entries.length)}`}</button>`}
    ${entries.length > 5 && html`<p class="faint">Of ${count(entries.length)} groups about ${Math.max(1, Math.round(entries.length / 20))} lie beyond their interval by chance alone.</p>`}`;
}
