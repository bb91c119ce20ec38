// A run's trades: each on its candles, heat maps of months and hours, distributions.
import { html, useMemo, useSignal } from '../ui/html.js';
import { Empty, Loaded, Panel } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { useResource } from '../api.js';
import { HeatMap, Histogram, binned } from '../charts/svg.js';
import { tradeCandles } from '../charts/trade_candles.js';
import { clock, count, day, rupees, span, words } from '../format.js';
import { UChart } from './money.js';
import { TRADE_COLUMNS } from './trading.js';

const IST_S = 19_800,
  MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const india = (us) => new Date((us / 1e6 + IST_S) * 1000);
const short = (paise) => {
  const rupee = paise / 100,
    size = Math.abs(rupee),
    sign = rupee < 0 ? '−' : '+';
  return sign + (size >= 1e5 ? `${(size / 1e5).toFixed(1)}L` : size >= 1e3 ? `${(size / 1e3).toFixed(1)}k` : size.toFixed(0));
};

export function RunTrades({ name, rows, isBacktest }) {
  const picked = useSignal(null);
  const closed = useMemo(() => rows.filter((row) => row.exited_us), [rows]);
  const columns = useMemo(
    () => [
      { key: 'day', label: 'Day', width: '104px', min: 620, render: (row) => day(row.entered_us), sort: (row) => row.entered_us },
      ...TRADE_COLUMNS,
    ],
    [],
  );
  return html`<${Panel} name="run-trades" title="Trades" note=${count(rows.length)} className="run-trades"
      ><${VTable}
        name="run-trades"
        label="Trades of the run"
        columns=${columns}
        rows=${rows}
        rowKey=${(row) => row.n}
        onOpen=${(row) => {
          picked.value = row;
        }}
        rowClass=${(row) => (row.n === picked.value?.n ? 'is-chosen' : '')}
        empty="This run traded nothing."
    /><//>
    ${
      rows.length > 0 &&
      html`<${Panel}
          name="trade-chart"
          title="The trade on its candles"
          note=${picked.value ? `${picked.value.symbol}, ${day(picked.value.entered_us)}` : ''}
          className="trade-chart"
        >
          ${
            picked.value
              ? html`<${OnCandles}
                  key=${picked.value.n}
                  name=${isBacktest ? `${name}/${picked.value.day}` : name}
                  row=${picked.value}
                />`
              : html`<${Empty}>Choose a trade above.<//>`
          }<//
        >
        <div class="two-up">
          <${Panel} name="months" title="By month"><${Months} rows=${closed} /><//
          ><${Panel} name="hours" title="By hour of entry"><${Hours} rows=${closed} /><//>
        </div>
        <div class="two-up">
          <${Panel} name="results" title="Results of trades"><${Results} rows=${closed} /><//
          ><${Panel} name="durations" title="Durations"><${Durations} rows=${closed} /><//>
        </div>`
    }`;
}

const leg = (name, paise, us) => `${name} ${rupees(paise)} at ${clock(us)}`;

function OnCandles({ name, row }) {
  const names = useResource(row.inst == null ? 'instruments' : null, { run: name });
  const known = names.data?.symbol.indexOf(row.symbol);
  const i = row.inst ?? (known >= 0 ? known : null);
  const found = useResource(i == null ? null : 'candles', {
    run: name,
    inst: i,
    tf: 1,
  });
  if (i == null)
    return html`<${Loaded} of=${names}
      >${() => html`<${Empty}>${row.symbol} is no instrument of ${name}: its candles cannot be found.<//>`}<//
    >`;
  return html`<${Loaded} of=${found} empty=${(data) => (data.t.length < 2 ? 'The candles of that day are not kept.' : '')}
    >${(data) =>
      html`<${UChart}
        make=${(parent, candles) => tradeCandles(parent, around(candles, row), row)}
        data=${data}
        label=${`${row.symbol}: ${leg('entry', row.entry, row.entered_us)}, ${leg('exit', row.exit, row.exited_us)}`}
      />`}<//
  >`;
}

/** The bars of the trade with a half hour on both sides. */
function around(candles, row) {
  const from = row.entered_us / 1e6 - 1800,
    to = (row.exited_us ?? row.entered_us) / 1e6 + 1800;
  const keep = candles.t.map((t, k) => (t >= from && t <= to ? k : -1)).filter((k) => k >= 0);
  const list = keep.length > 1 ? keep : candles.t.map((_, k) => k).slice(-90);
  return Object.fromEntries(['t', 'o', 'h', 'l', 'c'].map((column) => [column, list.map((k) => candles[column][k])]));
}

function Months({ rows }) {
  const sums = new Map(),
    years = new Set();
  for (const row of rows) {
    const date = india(row.entered_us),
      year = date.getUTCFullYear(),
      key = `${year}|${date.getUTCMonth()}`;
    years.add(year);
    sums.set(key, (sums.get(key) ?? 0) + row.net);
  }
  if (!rows.length) return html`<${Empty}>No closed trade.<//>`;
  const names = [...years].sort();
  return html`<${HeatMap}
    label="Net result by month"
    rows=${names}
    columns=${MONTHS}
    cell=${(r, c) => sums.get(`${names[r]}|${c}`) ?? null}
    of=${short}
    title=${(r, c) => `${MONTHS[c]} ${names[r]}: ${rupees(sums.get(`${names[r]}|${c}`), true)}`}
  />`;
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri'],
  HOURS = [9, 10, 11, 12, 13, 14, 15];
function Hours({ rows }) {
  const sums = new Map();
  for (const row of rows) {
    const date = india(row.entered_us),
      key = `${date.getUTCDay() - 1}|${date.getUTCHours()}`;
    sums.set(key, (sums.get(key) ?? 0) + row.net);
  }
  if (!rows.length) return html`<${Empty}>No closed trade.<//>`;
  const at = (r, c) => sums.get(`${r}|${HOURS[c]}`) ?? null;
  return html`<${HeatMap}
    label="Net result by weekday and hour"
    rows=${DAYS}
    columns=${HOURS.map((h) => `${h}:00`)}
    cell=${at}
    of=${short}
    title=${(r, c) => `${DAYS[r]} ${HOURS[c]}:00: ${rupees(at(r, c), true)}`}
  />`;
}

function Results({ rows }) {
  const { edges, counts } = binned(rows.map((row) => row.net / 100));
  return html`<${Histogram}
      label="Net result of trades"
      edges=${edges}
      counts=${counts}
      signed=${true}
      of=${(value) => rupees(Math.round(value) * 100).replace('.00', '')}
      marks=${[['break-even', edges[0] < 0 && edges.at(-1) > 0 ? 0 : null]]}
    />
    <p class="faint">
      ${words('net result after charges')}; ${count(rows.filter((row) => row.net > 0).length)} of ${count(rows.length)} earned.
    </p>`;
}

function Durations({ rows }) {
  const seconds = rows.map((row) => (row.exited_us - row.entered_us) / 1e6).sort((a, b) => a - b);
  const { edges, counts } = binned(seconds);
  return html`<${Histogram}
    label="Duration of trades"
    edges=${edges}
    counts=${counts}
    of=${(value) => span(Math.max(0, value))}
    marks=${[['median', seconds.length ? seconds[Math.floor(seconds.length / 2)] : null]]}
  />`;
}
