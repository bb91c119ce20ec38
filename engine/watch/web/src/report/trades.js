// Every trade, and the one that is chosen on its candles.
import { html, useMemo, useSignal } from '../ui/html.js';
import { Direction, Empty, Facts, Money } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { tradeCandles } from '../charts/trade_candles.js';
import { Canvas, Later, moments } from './parts.js';
import { block, candlesOf } from './payload.js';
import { NONE, clock, count, day, fixed, rupees, side, span } from '../format.js';

const word = (column, i) => column.words[column.codes[i]];

export function Trades({ head }) {
  if (!head.blocks.trades.rows) return html`<${Empty}>Nothing was traded.<//>`;
  return html`<${Later} of=${() => block(head, 'trades')} rows=${8}>${(columns) => html`<${Book} head=${head} t=${columns} />`}<//>`;
}

const net = (t, i) => t.gross[i] - t.charges[i];
const bp = (t, i) => net(t, i) / (t.quantity[i] * t.entry[i]) * 1e4;

function Book({ head, t }) {
  const rows = useMemo(() => Array.from({ length: t.rows }, (_, i) => ({ i })), [t]);
  const heads = useMemo(() => table(t, moments(head.days)), [t]);
  const text = useSignal(''), reason = useSignal(''), chosen = useSignal(0);
  const wanted = text.value.trim().toUpperCase();
  const shown = useMemo(() => rows.filter(({ i }) => (!wanted || word(t.symbol, i).toUpperCase().includes(wanted))
    && (!reason.value || word(t.reason, i) === reason.value)), [rows, wanted, reason.value]);
  const step = (by) => {
    const at = shown.findIndex(({ i }) => i === chosen.value), next = shown[Math.max(0, Math.min(shown.length - 1, at + by))];
    if (next) chosen.value = next.i;
  };
  return html`<div class="trades-split"><div><div class="filters"><label><span class="sr">Symbol</span><input type="search" placeholder="Symbol" value=${text.value} onInput=${(event) => { text.value = event.currentTarget.value; }} /></label>
      <label><span class="sr">Exit</span><select value=${reason.value} onChange=${(event) => { reason.value = event.currentTarget.value; }}><option value="">Exit: all</option>
        ${t.reason.words.filter(Boolean).map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label><span class="faint">${count(shown.length)} of ${count(t.rows)}</span></div>
    <div class="table-box"><${VTable} name="report-trades" label="Trades" columns=${heads} rows=${shown} rowKey=${(row) => row.i}
      onOpen=${(row) => { chosen.value = row.i; }} rowClass=${(row) => (row.i === chosen.value ? 'is-chosen' : '')} empty="No trade is like that." /></div></div>
    <div class="one-trade" aria-live="polite"><div class="part-head"><h3>${word(t.symbol, chosen.value)}, ${day(t.entered[chosen.value] * 1e6)}</h3>
      <span class="steps"><button class="button" onClick=${() => step(-1)} aria-label="Trade before">‹</button><button class="button" onClick=${() => step(1)} aria-label="Trade after">›</button></span></div>
      <${OnCandles} key=${chosen.value} head=${head} t=${t} i=${chosen.value} /></div></div>`;
}

function OnCandles({ head, t, i }) {
  const left = t.held[i] < 0 ? 0 : t.entry[i] + t.left[i];
  const trade = { side: t.side[i], entry: t.entry[i], exit: left, entered_us: t.entered[i] * 1e6, exited_us: t.held[i] < 0 ? 0 : (t.entered[i] + t.held[i]) * 1e6,
    stop: t.stop[i] && t.entry[i] + t.stop[i], target: t.target[i] && t.entry[i] + t.target[i] };
  const said = `${side(t.side[i])} ${count(t.quantity[i])} ${word(t.symbol, i)}: in at ${rupees(t.entry[i])}, out at ${left ? rupees(left) : NONE}, net ${rupees(net(t, i), true)} rupees`;
  return html`${t.window[i] < 0 ? html`<${Empty}>The candles of this trade are not there any more.<//>`
    : html`<${Later} of=${() => candlesOf(head, t.window[i])}>${(candles) => html`<${Chart} candles=${candles} trade=${trade} said=${said} isExact=${head.candles.is_exact} steps=${head.candles.steps} />`}<//>`}
    <${Facts} className="two" rows=${[['Side', side(t.side[i])], ['Quantity', count(t.quantity[i])], ['Entry', `${rupees(t.entry[i])} at ${clock(trade.entered_us)}`],
      ['Exit', left ? `${rupees(left)} at ${clock(trade.exited_us)}` : 'still open'], ['Why it ended', word(t.reason, i) || NONE], ['Held', t.held[i] < 0 ? NONE : span(t.held[i])],
      ['Gross, ₹', rupees(t.gross[i], true)], ['Costs, ₹', rupees(t.charges[i])], ['Net, ₹', rupees(net(t, i), true), net(t, i) < 0 ? 'down' : 'up'], ['Net, bp', fixed(bp(t, i), 1, true)],
      ['Source', word(t.source, i)], ['Candidate', count(t.candidate[i])], ['Strength', fixed(t.strength[i], 2)], ['Score', fixed(t.score[i], 2)]]} />
    ${t.ambiguous[i] ? html`<p class="notice warn">Its last bar holds both stop and target: nobody knows which came first. The stop counted.</p>` : null}`;
}

const NEAR = 75 * 60;
/** A stop far off would flatten the candles: the chart has those that lie within twice their range. */
function Chart({ candles, trade, said, isExact, steps }) {
  const seen = useMemo(() => near(candles, trade), [candles, trade.entered_us]);
  const low = Math.min(...seen.l), high = Math.max(...seen.h), reach = high - low;
  const within = (price) => (price && price > low - reach / 2 && price < high + reach / 2 ? price : 0);
  const make = useMemo(() => (parent) => tradeCandles(parent, seen, { ...trade, stop: within(trade.stop), target: within(trade.target) }), [seen]);
  return html`<${Canvas} make=${make} height=${300} label=${said} /><p class="faint">${candles.minutes === 1 ? 'One-minute candles' : `Candles of ${candles.minutes} minutes`}${isExact ? '.' : `; prices are rounded to a ${steps}th of what the window spans.`}
    ${(trade.stop && !within(trade.stop)) || (trade.target && !within(trade.target)) ? ` Beyond the chart: ${[!within(trade.stop) && trade.stop && `stop ${rupees(trade.stop)}`, !within(trade.target) && trade.target && `target ${rupees(trade.target)}`].filter(Boolean).join(', ')}.` : ''}</p>`;
}

/** Of a whole day the candles about the trade. */
function near(candles, trade) {
  if (candles.t.length < 100) return candles;
  const from = trade.entered_us / 1e6 - NEAR, to = (trade.exited_us || trade.entered_us) / 1e6 + NEAR;
  const keep = candles.t.map((t, k) => (t >= from && t <= to ? k : -1)).filter((k) => k >= 0);
  return keep.length < 2 ? candles : Object.fromEntries(['t', 'o', 'h', 'l', 'c'].map((name) => [name, keep.map((k) => candles[name][k])]));
}

function table(t, moment) {
  const plain = (name) => (row) => t[name][row.i];
  return [
    { key: 'time', label: 'Entry', width: moment.width, render: (r) => moment.write(t.entered[r.i]), sort: plain('entered') },
    { key: 'symbol', label: 'Instrument', width: 'minmax(96px, 1fr)', render: (r) => html`<${Direction} sign=${t.side[r.i]}><b>${word(t.symbol, r.i)}</b><//>`, sort: (r) => word(t.symbol, r.i) },
    { key: 'quantity', label: 'Quantity', width: '70px', align: 'right', min: 560, render: (r) => count(t.quantity[r.i]), sort: plain('quantity') },
    { key: 'entry', label: 'In', width: '84px', align: 'right', min: 520, render: (r) => rupees(t.entry[r.i]), sort: plain('entry') },
    { key: 'exit', label: 'Out', width: '84px', align: 'right', min: 640, render: (r) => (t.held[r.i] < 0 ? NONE : rupees(t.entry[r.i] + t.left[r.i])), sort: (r) => t.entry[r.i] + t.left[r.i] },
    { key: 'held', label: 'Held', width: '92px', align: 'right', min: 700, render: (r) => (t.held[r.i] < 0 ? NONE : span(t.held[r.i])), sort: plain('held') },
    { key: 'reason', label: 'Exit', width: '84px', min: 440, render: (r) => word(t.reason, r.i) || NONE, sort: (r) => word(t.reason, r.i) },
    { key: 'net', label: 'Net, ₹', width: '92px', align: 'right', render: (r) => html`<${Money} paise=${net(t, r.i)} />`, sort: (r) => net(t, r.i) },
  ];
}
