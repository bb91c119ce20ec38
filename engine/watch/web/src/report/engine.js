// How the engine did: latency of each stage, the criteria, gaps and alarms, and what the labelled candidates say of the thresholds.
import { html } from '../ui/html.js';
import { Empty, Facts, Plain } from '../ui/parts.js';
import { Histogram } from '../charts/svg.js';
import { between } from './parts.js';
import { NONE, count, dayName, figure, inUnit, nanos, percent, rupees } from '../format.js';

export function Latency({ head }) {
  const stages = Object.entries(head.latency);
  if (!stages.length) return html`<${Empty}>No timing was written: a backtest without journals has none.<//>`;
  return html`<div class="columns three">${stages.map(([name, of]) => html`<div key=${name}><h3>${of.words}</h3>
    <${Histogram} label=${`${of.words}: ${nanos(of.p50)} at the median, ${nanos(of.p99)} at 99 per cent`} edges=${of.edges_ns} counts=${of.counts} of=${nanos} marks=${[['p50', of.p50], ['p99', of.p99]]} />
    <${Facts} className="quantiles" rows=${[['p50', nanos(of.p50)], ['p99', nanos(of.p99)], ['p99.9', nanos(of.p999)], ['max', nanos(of.max)]]} />
    <p class="faint">${count(of.count)} ${name === 'order' ? 'requests' : 'frames with a candidate or an order'}</p></div>`)}</div>`;
}

const UNITS = { detection: (v) => `${figure(v)} ms`, order: (v) => `${figure(v)} ms`, 'noise filter': (v) => percent(v, 2), 'win rate': (v) => percent(v, 1), uptime: (v) => percent(v, 2), 'paper P&L': (v) => `₹ ${rupees(Math.round(v * 100), true)}` };
const unit = (name) => UNITS[name] ?? figure;

export function Criteria({ head }) {
  const { criteria } = head;
  return html`<p class="faint">Figures ${criteria.of}.</p><${Plain} label="Criteria" rows=${criteria.rows} rowKey=${(row) => row.name} columns=${[
    ['', (row) => html`<span class=${row.passed == null ? 'faint' : row.passed ? 'ok strong' : 'bad strong'}>${row.passed == null ? '○ open' : row.passed ? '✓ pass' : '✕ fail'}</span>`],
    ['Criterion', (row) => html`<b>${row.name}</b>`], ['Figure', (row) => (row.figure == null ? NONE : unit(row.name)(row.figure)), 'right num'],
    ['95 % over days', (row) => between(row.interval, unit(row.name)), 'right num'], ['Wanted', (row) => unit(row.name)(row.target), 'right num'],
    ['What it is', (row) => `${row.words}${row.why ? ` (${row.why})` : ''}`, 'wrap']]} />
    ${criteria.days.length > 1 && html`<h3>Days</h3><${Plain} label="Days" rows=${criteria.days} rowKey=${(row) => row.day} columns=${[['Day', (row) => dayName(row.day)], ['Trades', (row) => count(row.trades), 'right num'],
      ['Net, ₹', (row) => rupees(Math.round(row.net * 100), true), 'right num'], ['Uptime', (row) => percent(row.uptime, 2), 'right num'],
      ['Made again', (row) => ({ true: 'the same', false: 'another day' })[row.is_same] ?? NONE]]} />`}`;
}

export function Suggestions({ head }) {
  const { suggestions: s } = head;
  const isOne = s.rows.some((row) => row.value != null);
  return html`<p>The label is ${s.label} ${count(s.labelled)} of ${count(s.candidates)} candidates have one, in ${count(s.half_hours)} half hours; ${percent(s.stayed, 1)} stayed.</p>
    <p><b>${isOne ? 'Nothing here has been applied.' : 'No change is suggested.'}</b> A value is suggested only where the candidates that would change sides stayed more, or less, often than those that pass either way, by an
    interval that excludes no change after ${count(s.tried)} values were tried (bootstrap over half hours, widened for the number tried).</p>
    <${Plain} label="Thresholds" rows=${s.rows} rowKey=${(row) => row.setting} columns=${[['Threshold', (row) => html`<b>${row.setting}</b><br /><span class="faint">${row.words}</span>`], ['Now', (row) => figure(row.now), 'right num'],
      ['Suggested', (row) => (row.value == null ? NONE : html`<b>${figure(row.value)}</b>`), 'right num'], ['Cases', (row) => `${count(row.passing)} of ${count(row.cases)} pass`, 'right num'],
      ['Would change sides', (row) => (row.value == null ? NONE : `${count(row.changed)} ${row.lets_in ? 'let in' : 'kept out'}, ${percent(row.changed_stayed, 1)} stayed`), 'wrap'],
      ['Pass either way', (row) => (row.value == null ? NONE : `${count(row.kept)}, ${percent(row.kept_stayed, 1)} stayed`)],
      ['Difference', (row) => (row.value == null ? NONE : `${percent(row.difference, 1, true)} (${between(row.interval, (v) => percent(v, 1, true))})`), 'right num'], ['', (row) => html`<span class="faint">${row.why ?? ''}</span>`, 'wrap']]} />`;
}

const pairs = (of) => Object.entries(of ?? {}).sort((a, b) => b[1] - a[1]).map(([name, n]) => [name, count(n)]);

export function Engine({ head }) {
  const { feed, settings } = head;
  const list = (title, rows, none) => html`<div><h3>${title}</h3>${rows.length ? html`<${Facts} rows=${rows} />` : html`<p class="faint">${none}</p>`}</div>`;
  return html`${feed && html`<p>${count(feed.updates)} updates.${feed.reducing.length > 0 ? ` Entries were stopped: ${feed.reducing.join(', ')}.` : ''}${Object.entries(feed.stopped).map(([name, why]) => ` Strategy ${name} was stopped: ${why}.`)}</p>`}
    <div class="columns three">${feed && list('Alarms', pairs(feed.alarms), 'None.')}${feed && list('Gaps of the feed', pairs(feed.gaps), 'None.')}</div>
    ${settings.length > 0 && html`<h3>Settings in force</h3><${Plain} label="Settings in force" rows=${settings} rowKey=${(row) => row.name} columns=${[['Setting', (row) => html`<code>${row.name}</code>`],
      ['Value', (row) => (typeof row.value === 'number' ? inUnit(row.value, row.unit) : row.value), 'right num'], ['Meaning', (row) => row.words, 'grow wrap']]} />`}`;
}

