// The map's data as a table that sorts: the same board, twice a second.
import { html, useEffect, useMemo, useSignal } from '../ui/html.js';
import { VTable } from '../ui/table.js';
import { rupees, tone } from '../format.js';
import { CANDIDATE, NO_SCORE, PASSED, PENDING, POSITION, STALE, WORKING } from '../frame.js';
import { board, instruments, moment, selected } from '../state.js';

const bp = (v) => `${v < 0 ? '−' : '+'}${Math.abs(v / 100).toFixed(2)}`;
const state = (flags) =>
  [
    flags & PASSED ? 'passed' : flags & CANDIDATE ? 'candidate' : '',
    flags & POSITION ? 'position' : '',
    flags & WORKING ? 'order' : '',
    flags & PENDING ? 'pending' : '',
    flags & STALE ? 'gap' : '',
  ]
    .filter(Boolean)
    .join(', ');

export function InstrumentTable({ shown }) {
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => {
      tick.value++;
    }, 500);
    return () => clearInterval(timer);
  }, []);
  const b = board.value,
    c = instruments.value,
    quotes = moment.value?.quotes;
  const rows = useMemo(
    () =>
      shown.map((i) => ({
        i,
        symbol: c.symbol[i],
        sector: c.sector[i],
        price: b.known[i] ? b.price[i] : null,
        move: b.known[i] ? b.move[i] : null,
        volume: b.volume[i],
        score: b.score[i] === NO_SCORE ? null : b.score[i] / 200,
        flags: b.flags[i],
      })),
    [tick.value, shown, b],
  );
  const columns = [
    {
      key: 'symbol',
      label: 'Symbol',
      width: 'minmax(90px, 1.3fr)',
      render: (row) => html`<b>${row.symbol}</b>`,
      sort: (row) => row.symbol,
    },
    {
      key: 'sector',
      label: 'Sector',
      width: 'minmax(70px, 1.2fr)',
      min: 560,
      render: (row) => row.sector,
      sort: (row) => row.sector,
    },
    {
      key: 'price',
      label: 'Last',
      width: 'minmax(84px, 1fr)',
      align: 'right',
      render: (row) => rupees(row.price),
      sort: (row) => row.price,
    },
    {
      key: 'move',
      label: 'Move %',
      width: '70px',
      align: 'right',
      sort: (row) => row.move,
      render: (row) => (row.move === null ? '–' : html`<span class=${tone(row.move)}>${bp(row.move)}</span>`),
    },
    {
      key: 'volume',
      label: 'Volume ×',
      width: '72px',
      align: 'right',
      min: 380,
      title: 'This minute beside what is expected of it',
      render: (row) => (row.volume / 100).toFixed(2),
      sort: (row) => row.volume,
    },
    {
      key: 'score',
      label: 'Score',
      width: '60px',
      align: 'right',
      min: 330,
      render: (row) => (row.score === null ? '–' : row.score.toFixed(3)),
      sort: (row) => row.score,
    },
    {
      key: 'day',
      label: 'Day volume',
      width: '96px',
      align: 'right',
      min: 640,
      title: 'At the last reading of the moment',
      render: (row) => (quotes?.volume[row.i] ?? 0).toLocaleString('en-IN'),
      sort: (row) => quotes?.volume[row.i] ?? 0,
    },
    {
      key: 'state',
      label: 'State',
      width: 'minmax(70px, 1fr)',
      min: 430,
      render: (row) => state(row.flags),
      sort: (row) => row.flags,
    },
  ];
  return html`<${VTable}
    name="instruments"
    label="Instruments"
    columns=${columns}
    rows=${rows}
    rowKey=${(row) => row.i}
    onOpen=${(row) => {
      selected.value = row.symbol;
    }}
    rowClass=${(row) => (row.symbol === selected.value ? 'is-chosen' : '')}
    empty="No instrument of this kind in this run."
  />`;
}
