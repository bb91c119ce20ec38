// What was seen, taken and refused: counts of each stage, each reason with how near it was, and the candidates themselves.
import { html, useMemo, useSignal } from '../ui/html.js';
import { Direction, Empty, Plain } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { Later, moments } from './parts.js';
import { block } from './payload.js';
import { NONE, count, figure, fixed, percent, rupees } from '../format.js';

const nearPercent = (value) => (value == null ? NONE : value === 0 ? 'at the limit' : value < 0.001 ? 'under 0.1 %' : percent(value, 1));

export function Seen({ head }) {
  const { seen } = head;
  if (!seen.candidates) return html`<${Empty}>Nothing that could have been a trade was seen.<//>`;
  return html`<div class="columns">
    <div><h3>Where each ended</h3>${seen.stages ? html`<${Stages} stages=${seen.stages} all=${seen.candidates} />`
      : html`<p class="faint">${count(seen.candidates)} candidates; the backtest kept no journals, so only the reasons are known.</p>`}</div>
    <div><h3>Refused, by reason, and how near</h3><${Plain} label="Reasons of refusals" rowKey=${(row) => row.by + row.reason} rows=${seen.reasons} columns=${[
      ['Reason', (row) => row.reason, 'wrap'], ['By', (row) => row.by], ['Refused', (row) => count(row.count), 'right num'],
      ['Within a tenth', (row) => (row.near == null ? NONE : count(row.near)), 'right num'],
      ['Median miss', (row) => nearPercent(row.median_miss), 'right num'], ['Nearest', (row) => nearPercent(row.least_miss), 'right num'],
      ['Measured', (row) => figure(row.measured), 'right num'], ['Limit', (row) => figure(row.limit), 'right num']]} />
      <p class="faint">A miss is the distance from the limit as a share of the limit; measured and limit are medians, in the unit of the rule.</p></div></div>
    ${head.blocks.candidates.rows > 0 && html`<h3>The candidates</h3><${Later} of=${() => block(head, 'candidates')}>${(columns) => html`<${List} head=${head} columns=${columns} />`}<//>`}`;
}

function Stages({ stages, all }) {
  return html`<ul class="stages">${Object.entries(stages).map(([name, n]) => html`<li key=${name}><span>${name}</span>
    <span class="bar-track" aria-hidden="true"><span class="bar-fill" style=${{ width: `${n / Math.max(1, all) * 100}%` }}></span></span>
    <span class="num right">${count(n)}</span></li>`)}</ul>`;
}

const word = (column, i) => column.words[column.codes[i]];

function List({ head, columns }) {
  const stage = useSignal(''), reason = useSignal(''), text = useSignal('');
  const rows = useMemo(() => Array.from({ length: columns.rows }, (_, i) => ({ i })).reverse(), [columns]);
  const wanted = text.value.trim().toUpperCase();
  const shown = useMemo(() => rows.filter(({ i }) => (!stage.value || word(columns.stage, i) === stage.value)
    && (!reason.value || word(columns.reason, i) === reason.value) && (!wanted || word(columns.symbol, i).toUpperCase().includes(wanted))),
  [rows, stage.value, reason.value, wanted]);
  const heads = useMemo(() => table(columns, moments(head.days)), [columns]);
  const choice = (label, signal, options) => html`<label><span class="sr">${label}</span><select value=${signal.value} onChange=${(event) => { signal.value = event.currentTarget.value; }}>
    <option value="">${label}: all</option>${options.map((option) => html`<option key=${option} value=${option}>${option}</option>`)}</select></label>`;
  return html`<div class="filters"><label><span class="sr">Symbol</span><input type="search" placeholder="Symbol" value=${text.value} onInput=${(event) => { text.value = event.currentTarget.value; }} /></label>
    ${choice('Ended', stage, columns.stage.words)}${choice('Reason', reason, columns.reason.words)}<span class="faint">${count(shown.length)} of ${count(columns.rows)}</span></div>
    <div class="table-box"><${VTable} name="report-candidates" label="Candidates" columns=${heads} rows=${shown} rowKey=${(row) => row.i} empty="None is like that." /></div>`;
}

function table(c, moment) {
  const number = (name, size, digits) => (row) => (c[name][row.i] < 0 ? NONE : fixed(c[name][row.i] / size, digits));
  const plain = (name) => (row) => c[name][row.i];
  return [
    { key: 'time', label: 'Time', width: moment.width, render: (r) => moment.write(c.time[r.i]), sort: plain('time') },
    { key: 'symbol', label: 'Instrument', width: 'minmax(96px, 1fr)', render: (r) => html`<${Direction} sign=${c.move[r.i]}><b>${word(c.symbol, r.i)}</b><//>`, sort: (r) => word(c.symbol, r.i) },
    { key: 'price', label: 'Price', width: '84px', align: 'right', min: 560, render: (r) => rupees(c.price[r.i]), sort: plain('price') },
    { key: 'strength', label: 'Strength', width: '66px', align: 'right', min: 480, render: number('strength', 1000, 2), sort: plain('strength') },
    { key: 'volume', label: 'Volume', width: '66px', align: 'right', min: 640, render: number('volume', 100, 1), sort: plain('volume') },
    { key: 'score', label: 'Score', width: '58px', align: 'right', min: 480, render: number('score', 1000, 2), sort: plain('score') },
    { key: 'stage', label: 'Ended', width: '138px', render: (r) => word(c.stage, r.i), sort: (r) => word(c.stage, r.i) },
    { key: 'reason', label: 'Reason', width: 'minmax(110px, 1.4fr)', min: 720, render: (r) => word(c.reason, r.i), sort: (r) => word(c.reason, r.i) },
    { key: 'measured', label: 'Measured / limit', width: '128px', align: 'right', min: 820,
      render: (r) => (Number.isNaN(c.limit[r.i]) || !c.limit[r.i] ? NONE : `${figure(c.measured[r.i])} / ${figure(c.limit[r.i])}`),
      sort: (r) => Math.abs(c.measured[r.i] - c.limit[r.i]) / Math.abs(c.limit[r.i]), title: 'Sorted by how near it was' },
    { key: 'stayed', label: 'A minute later', width: '104px', min: 920, render: (r) => ({ 1: 'stayed', 0: 'gone' })[c.stayed[r.i]] ?? NONE, sort: plain('stayed') },
  ];
}
