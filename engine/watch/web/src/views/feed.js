// Health: the feed, its gaps, and what each stage takes.
import { html } from '../ui/html.js';
import { Facts, Loaded, Panel, Plain } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { useResource } from '../api.js';
import { Histogram } from '../charts/svg.js';
import { clock, count, figure, nanos, span, words } from '../format.js';
import { isLive, moment, pulse, selected } from '../state.js';

const STAGES = {
  decoded: 'Frame decoded',
  scored: 'Candidate scored',
  decided: 'Decided',
  done: 'Order handed over',
  order: 'Order, round trip',
};

export function FeedView() {
  return html`<div class="grid feed"><${Health} /><${Latency} /><${Gaps} /></div>`;
}

function Health() {
  const found = useResource('feed', {}, 5);
  const counts = moment.value?.counts ?? {};
  return html`<${Panel} name="feed" title="Feed" age=${found.when} className="dims"
    ><${Loaded} of=${found}
      >${(data) =>
        html` <${Facts}
            className="two"
            rows=${[
              ['State', data.is_up == null ? null : data.is_up ? '● up' : '✕ down', data.is_up ? 'ok' : 'bad'],
              ['Updates a second', count((isLive.value && pulse.value?.updates_per_s) || data.updates_per_s)],
              ['Lag', data.lag_ms == null ? null : `${figure(data.lag_ms)} ms`],
              ['Clock skew', data.skew_ms == null ? null : `${figure(data.skew_ms)} ms`],
              ['Reconnects', count(data.reconnects)],
              ['Updates', count(counts.updates)],
              ['Frames', count(counts.frames)],
              ['Rejected', count(data.rejected)],
              ['Unknown', count(data.unknown)],
              ['Late', count(counts.late)],
              ['Repeats', count(counts.repeats)],
              ['Records', count(counts.records)],
              ['Stored', isLive.value && pulse.value?.stored != null ? count(pulse.value.stored) : null],
            ]}
          />
          <h3>Connections</h3>
          ${
            data.links?.length
              ? html`<${Plain}
                  label="Connections"
                  rows=${[...data.links].reverse()}
                  columns=${[
                    ['Time', (row) => html`<span class="num">${clock(row.t_us)}</span>`],
                    ['Stream', (row) => words(row.which), 'grow'],
                    ['', (row) => html`<span class=${row.up ? 'ok' : 'bad'}>${row.up ? '● up' : '✕ down'}</span>`],
                    ['Code', (row) => row.code || '–', 'right'],
                  ]}
                />`
              : html`<p class="faint">No connection came or went.</p>`
          }`}<//
    ><//
  >`;
}

function Latency() {
  const found = useResource('latency', {}, 5);
  return html`<${Panel} name="latency" title="Latency" age=${found.when} note="heights are logarithmic" className="dims"
    ><${Loaded} of=${found} rows=${8}
      >${(data) =>
        html`<div class="histograms">
          ${Object.keys(STAGES)
            .filter((name) => data.stages[name])
            .map((name) => html`<${Stage} key=${name} name=${STAGES[name]} of=${data.stages[name]} />`)}
        </div>`}<//
    ><//
  >`;
}

function Stage({ name, of }) {
  const total = of.counts.reduce((a, b) => a + b, 0);
  return html`<section class="stage-histogram">
    <h3>${name} <span class="faint num">${count(total)}</span></h3>
    <${Histogram}
      label=${name}
      edges=${of.edges_ns.length === of.counts.length ? [0, ...of.edges_ns] : of.edges_ns}
      counts=${of.counts}
      of=${nanos}
      marks=${[
        ['p50', of.p50],
        ['p99', of.p99],
      ]}
      isLog=${true}
      height=${70}
    />
    <${Facts}
      className="quantiles"
      rows=${[
        ['p50', nanos(of.p50)],
        ['p99', nanos(of.p99)],
        ['p99.9', nanos(of.p999)],
        ['max', nanos(of.max)],
      ]}
    />
  </section>`;
}

const GAP_COLUMNS = [
  {
    key: 'begin',
    label: 'From',
    width: '78px',
    render: (row) => html`<span class="num">${clock(row.begin_us)}</span>`,
    sort: (row) => row.begin_us,
  },
  {
    key: 'end',
    label: 'To',
    width: '78px',
    min: 460,
    render: (row) => html`<span class="num">${clock(row.end_us)}</span>`,
    sort: (row) => row.end_us,
  },
  {
    key: 'symbol',
    label: 'Symbol',
    width: 'minmax(90px, 1fr)',
    render: (row) => html`<b>${row.symbol}</b>`,
    sort: (row) => row.symbol,
  },
  { key: 'kind', label: 'Kind', width: 'minmax(80px, 1fr)', render: (row) => words(row.kind), sort: (row) => row.kind },
  {
    key: 'seconds',
    label: 'Lasted',
    width: '92px',
    align: 'right',
    render: (row) => span(row.seconds),
    sort: (row) => row.seconds,
  },
  {
    key: 'volume',
    label: 'Volume',
    width: '84px',
    align: 'right',
    min: 420,
    render: (row) => count(row.volume),
    sort: (row) => row.volume,
  },
  {
    key: 'measured',
    label: 'Measured',
    width: '80px',
    align: 'right',
    min: 520,
    render: (row) => figure(row.measured),
    sort: (row) => row.measured,
  },
  {
    key: 'limit',
    label: 'Limit',
    width: '70px',
    align: 'right',
    min: 520,
    render: (row) => figure(row.limit),
    sort: (row) => row.limit,
  },
];

function Gaps() {
  const found = useResource('gaps', { limit: 2000 }, 10);
  return html`<${Panel}
    name="gaps"
    title="Gap ledger"
    age=${found.when}
    note=${found.data ? count(found.data.total) : ''}
    className="tall"
    ><${Loaded} of=${found}
      >${(data) =>
        html` <p class="chips">
            ${Object.entries(data.by_kind).map(
              ([kind, n]) => html`<span class="chip" key=${kind}>${words(kind)} <b class="num">${count(n)}</b></span>`,
            )}
          </p>
          <${VTable}
            name="gaps"
            label="Gaps"
            columns=${GAP_COLUMNS}
            rows=${data.rows}
            rowKey=${(row) => `${row.begin_us}${row.symbol}${row.kind}`}
            onOpen=${(row) => {
              selected.value = row.symbol;
            }}
            empty="No gap: every update of the day came in order."
          />`}<//
    ><//
  >`;
}
