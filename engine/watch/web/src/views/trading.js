// Positions and orders.
import { html, useMemo } from '../ui/html.js';
import { Direction, Empty, Loaded, Money, Panel, Plain } from '../ui/parts.js';
import { Split } from '../ui/split.js';
import { VTable } from '../ui/table.js';
import { useResource } from '../api.js';
import { buySell, clock, count, figure, fixed, rupees, side, span, words } from '../format.js';
import { freshOrders, isLive, moment, open, selected } from '../state.js';

const LIMIT = 1000;

export function TradingView() {
  return html`<div class="grid trading">
    <${Positions} /><${Split} name="orders" is="rows" start=${60} label="Between orders and trades"><${Orders} /><${Trades} /><//>
  </div>`;
}

const CLOSED = 'No position: the market is closed.';
const HOLDS_NONE = 'No position is held. The next entry shows here with its stop and target.';
export function Positions() {
  const now = moment.value,
    rows = now?.positions ?? [];
  const total = (name) => rows.reduce((sum, row) => sum + (row[name] ?? 0), 0);
  return html`<${Panel} name="positions" title="Positions" note=${count(rows.length)} className="dims">
    ${
      rows.length === 0
        ? html`<${Empty}
            >${now?.state.trading === 'CLOSED' ? CLOSED : HOLDS_NONE}<//
          >`
        : html`<${Plain}
            label="Positions"
            rows=${rows}
            rowKey=${(row) => `${row.inst}${row.source}`}
            onOpen=${(row) => (row.candidate ? open('candidate', row.candidate) : (selected.value = row.symbol))}
            columns=${[
              ['Symbol', (row) => html`<${Direction} sign=${row.quantity}><b>${row.symbol}</b><//>`],
              ['Source', (row) => row.source],
              ['State', (row) => html`<span class=${row.state === 'UNPROTECTED' ? 'bad' : ''}>${row.state}</span>`],
              ['Quantity', (row) => count(row.quantity, true), 'right'],
              ['Average', (row) => rupees(row.average), 'right'],
              ['Last', (row) => rupees(row.ltp), 'right'],
              ['Open', (row) => html`<${Money} paise=${row.open} />`, 'right'],
              ['Realised', (row) => html`<${Money} paise=${row.realised} />`, 'right'],
              ['Charges', (row) => rupees(row.charges), 'right'],
              ['Stop', (row) => rupees(row.stop || null), 'right'],
              ['Target', (row) => rupees(row.target || null), 'right'],
              ['Between', (row) => html`<${Between} row=${row} />`],
              ['Held', (row) => span(Math.max(0, (now.now_us - row.entered_us) / 1e6)), 'right'],
              ['Until', (row) => clock(row.hold_until_us), 'right'],
            ]}
            foot=${[
              'All',
              ...['', '', '', '', ''],
              html`<${Money} paise=${total('open')} />`,
              html`<${Money} paise=${total('realised')} />`,
              rupees(total('charges')),
            ]}
          />`
    }
  <//>`;
}

/** Where the price stands between stop and target. */
function Between({ row }) {
  if (!row.stop || !row.target) return '–';
  const share = (value) => Math.max(0, Math.min(100, ((value - row.stop) / (row.target - row.stop)) * 100));
  return html`<span class="between" role="img" aria-label=${`${Math.round(share(row.ltp))} per cent of the way from stop to target`}
    ><span class="between-entry" style=${{ left: `${share(row.average)}%` }}></span>
    <span class="between-now" style=${{ left: `${share(row.ltp)}%` }}></span
  ></span>`;
}

const ORDER_COLUMNS = [
  {
    key: 'time',
    label: 'Time',
    width: '78px',
    render: (row) => html`<span class="num">${clock(row.t_us)}</span>`,
    sort: (row) => row.t_us,
  },
  {
    key: 'symbol',
    label: 'Symbol',
    width: 'minmax(90px, 1.2fr)',
    render: (row) => html`<${Direction} sign=${row.side}><b>${row.symbol}</b><//>`,
    sort: (row) => row.symbol,
  },
  { key: 'role', label: 'Role', width: 'minmax(56px, .8fr)', min: 410, render: (row) => row.role, sort: (row) => row.role },
  { key: 'side', label: 'Side', width: '44px', min: 700, render: (row) => buySell(row.side), sort: (row) => row.side },
  { key: 'type', label: 'Type', width: '60px', min: 640, render: (row) => row.type, sort: (row) => row.type },
  { key: 'why', label: 'Why', width: 'minmax(70px, 1fr)', min: 520, render: (row) => words(row.why), sort: (row) => row.why },
  {
    key: 'quantity',
    label: 'Filled',
    width: '84px',
    align: 'right',
    render: (row) => `${count(row.filled)} / ${count(row.quantity)}`,
    sort: (row) => row.quantity,
  },
  {
    key: 'price',
    label: 'Price',
    width: '88px',
    align: 'right',
    min: 420,
    render: (row) => rupees(row.price),
    sort: (row) => row.price,
  },
  {
    key: 'trigger',
    label: 'Trigger',
    width: '88px',
    align: 'right',
    min: 860,
    render: (row) => rupees(row.trigger || null),
    sort: (row) => row.trigger,
  },
  {
    key: 'average',
    label: 'Average',
    width: '88px',
    align: 'right',
    min: 760,
    render: (row) => rupees(row.average || null),
    sort: (row) => row.average,
  },
  { key: 'status', label: 'Status', width: 'minmax(76px, 1fr)', render: (row) => row.status, sort: (row) => row.status },
  {
    key: 'latency',
    label: 'Answer',
    width: '74px',
    align: 'right',
    min: 600,
    render: (row) => (row.latency_ms == null ? '–' : `${figure(row.latency_ms)} ms`),
    sort: (row) => row.latency_ms,
  },
];

function Orders() {
  const found = useResource('orders', { limit: LIMIT }, 30);
  const rows = useMemo(() => {
    const known = new Map((found.data?.rows ?? []).map((row) => [row.id, row]));
    if (isLive.value) for (const row of freshOrders.value) known.set(row.id, row);
    return [...known.values()].sort((a, b) => b.id - a.id);
  }, [found.data, freshOrders.value, isLive.value]);
  return html`<${Panel} name="orders" title="Orders" note=${found.data ? count(rows.length) : ''} age=${found.when}>
    <${Loaded} of=${found}
      >${() =>
        html`<${VTable}
          name="orders"
          label="Orders"
          columns=${ORDER_COLUMNS}
          rows=${rows}
          rowKey=${(row) => row.id}
          onOpen=${(row) => open('order', row.id, row)}
          empty="No order yet: an order follows the first candidate that passes every rule and the gate."
        />`}<//
    ><//
  >`;
}

export const TRADE_COLUMNS = [
  {
    key: 'entered',
    label: 'In',
    width: '78px',
    render: (row) => html`<span class="num">${clock(row.entered_us)}</span>`,
    sort: (row) => row.entered_us,
  },
  {
    key: 'exited',
    label: 'Out',
    width: '78px',
    min: 520,
    render: (row) => (row.exited_us ? html`<span class="num">${clock(row.exited_us)}</span>` : 'open'),
    sort: (row) => row.exited_us,
  },
  {
    key: 'symbol',
    label: 'Symbol',
    width: 'minmax(90px, 1.2fr)',
    render: (row) => html`<${Direction} sign=${row.side}><b>${row.symbol}</b><//>`,
    sort: (row) => row.symbol,
  },
  { key: 'source', label: 'Source', width: 'minmax(60px, 1fr)', min: 760, render: (row) => row.source, sort: (row) => row.source },
  { key: 'side', label: 'Side', width: '48px', min: 820, render: (row) => side(row.side), sort: (row) => row.side },
  {
    key: 'quantity',
    label: 'Quantity',
    width: '74px',
    align: 'right',
    min: 620,
    render: (row) => count(row.quantity),
    sort: (row) => row.quantity,
  },
  {
    key: 'entry',
    label: 'Entry',
    width: '86px',
    align: 'right',
    min: 560,
    render: (row) => rupees(row.entry),
    sort: (row) => row.entry,
  },
  {
    key: 'exit',
    label: 'Exit',
    width: '86px',
    align: 'right',
    min: 560,
    render: (row) => rupees(row.exit || null),
    sort: (row) => row.exit,
  },
  {
    key: 'gross',
    label: 'Gross',
    width: '96px',
    align: 'right',
    min: 880,
    render: (row) => html`<${Money} paise=${row.gross} />`,
    sort: (row) => row.gross,
  },
  {
    key: 'charges',
    label: 'Charges',
    width: '70px',
    align: 'right',
    min: 760,
    render: (row) => rupees(row.charges),
    sort: (row) => row.charges,
  },
  {
    key: 'net',
    label: 'Net',
    width: '100px',
    align: 'right',
    render: (row) => html`<${Money} paise=${row.net} />`,
    sort: (row) => row.net,
  },
  {
    key: 'why',
    label: 'Exit by',
    width: 'minmax(66px, .8fr)',
    render: (row) => words(row.exit_why || (row.exited_us ? '' : 'open')),
    sort: (row) => row.exit_why,
  },
  {
    key: 'score',
    label: 'Score',
    width: '50px',
    align: 'right',
    min: 680,
    render: (row) => fixed(row.score),
    sort: (row) => row.score,
  },
];

function Trades() {
  const found = useResource('trades', {}, 15);
  return html`<${Panel} name="trades" title="Trades" note=${found.data ? count(found.data.rows.length) : ''} age=${found.when}>
    <${Loaded} of=${found}
      >${(data) =>
        html`<${VTable}
          name="trades"
          label="Trades"
          columns=${TRADE_COLUMNS}
          rows=${data.rows}
          rowKey=${(row) => row.n}
          onOpen=${(row) => (row.candidate ? open('candidate', row.candidate) : (selected.value = row.symbol))}
          empty="No trade yet."
        />`}<//
    ><//
  >`;
}
