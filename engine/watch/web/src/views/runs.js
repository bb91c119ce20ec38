// Runs: live, paper, backtests, what-ifs. One opened, or two beside each other.
import { html, signal, useMemo } from '../ui/html.js';
import { Choice, Empty, Facts, Loaded, Money, Panel, Plain } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { say, useResource } from '../api.js';
import { PairBars } from '../charts/svg.js';
import { count, dayName, figure, rupees, words } from '../format.js';
import { pref } from '../prefs.js';
import { openRun, session } from '../state.js';
import { RunTrades } from './run_trades.js';

const chosen = pref('runs.chosen', ['', '']); // one or two names
const kind = pref('runs.kind', '');
export const shownTrade = signal(null);

export function RunsView() {
  const [a, b] = chosen.value;
  return html`<div class="grid runs">
    <${List} />
    <div class="stack">
      ${
        a && b
          ? html`<${Compare} a=${a} b=${b} />`
          : a
            ? html`<${One} key=${a} name=${a} />`
            : html`<${Panel} name="one" title="Run"
                ><${Empty}>Choose a run of the list; choose a second one with “beside” to compare them.<//><//
              >`
      }
    </div>
  </div>`;
}

function List() {
  const found = useResource('runs', {}, 20);
  const rows = useMemo(
    () => (found.data?.rows ?? []).filter((row) => !kind.value || row.kind === kind.value),
    [found.data, kind.value],
  );
  const [a, b] = chosen.value;
  const kinds = [...new Set((found.data?.rows ?? []).map((row) => row.kind))];
  const columns = [
    {
      key: 'name',
      label: 'Run',
      width: 'minmax(110px, 1.6fr)',
      render: (row) => html`<b>${row.name}</b>${row.problem ? html` <span class="bad" title=${row.problem}>▲</span>` : ''}`,
      sort: (row) => row.name,
    },
    {
      key: 'kind',
      label: 'Kind',
      width: '88px',
      min: 360,
      render: (row) => html`${row.is_running ? html`<span class="ok" title="running">● </span>` : ''}${row.kind}`,
      sort: (row) => row.kind,
    },
    { key: 'day', label: 'Day', width: '104px', min: 420, render: (row) => dayName(row.day), sort: (row) => row.began_us },
    {
      key: 'trades',
      label: 'Trades',
      width: '58px',
      align: 'right',
      min: 480,
      render: (row) => count(row.trades),
      sort: (row) => row.trades,
    },
    {
      key: 'net',
      label: 'Net',
      width: '94px',
      align: 'right',
      render: (row) => html`<${Money} paise=${row.net} />`,
      sort: (row) => row.net,
    },
    {
      key: 'pick',
      label: '',
      width: '66px',
      render: (row) =>
        a && row.name !== a
          ? html`<button
              class="button small"
              aria-label=${row.name === b ? `${a} alone again` : `beside ${a}: compare ${row.name}`}
              aria-pressed=${row.name === b}
              onClick=${(event) => {
                event.stopPropagation();
                chosen.value = [a, row.name === b ? '' : row.name];
              }}
            >
              ${row.name === b ? 'alone' : 'beside'}
            </button>`
          : '',
    },
  ];
  const tools =
    kinds.length > 1 &&
    html`<${Choice}
      label="Kind of run"
      value=${kind.value}
      onChoose=${(name) => {
        kind.value = name;
      }}
      options=${[['', 'All'], ...kinds.map((name) => [name, name])]}
    />`;
  return html`<${Panel} name="runs" title="Runs" note=${count(rows.length)} tools=${tools} className="run-list"
    ><${Loaded} of=${found}
      >${() =>
        html`<${VTable}
          name="runs"
          label="Runs"
          columns=${columns}
          rows=${rows}
          rowKey=${(row) => row.name}
          rowClass=${(row) => (row.name === a || row.name === b ? 'is-chosen' : '')}
          onOpen=${(row) => {
            chosen.value = [row.name, ''];
          }}
          empty="No run lies in the runs folder yet."
        />`}<//
    ><//
  >`;
}

/** Trades of a run as rows with times in microseconds and money in paise, whichever way they came. */
export function tradeRows(data) {
  if (data.rows) return data.rows;
  const columns = data.trades ?? {};
  const n = columns.symbol?.length ?? 0,
    out = [];
  const us = (name, i) => columns[`${name}_us`]?.[i] ?? (columns[`${name}_time`]?.[i] ? columns[`${name}_time`][i] / 1000 : null);
  for (let i = 0; i < n; i++) {
    const gross = columns.gross[i],
      charges = columns.charges[i];
    out.push({
      n: i,
      symbol: columns.symbol[i],
      inst: columns.inst?.[i],
      source: columns.source?.[i],
      candidate: columns.candidate?.[i],
      side: columns.side[i],
      quantity: columns.quantity[i],
      day: columns.day?.[i],
      entered_us: us('entered', i) ?? us('entry', i),
      exited_us: us('exited', i) ?? us('exit', i),
      entry: columns.entry?.[i] ?? columns.entry_price?.[i],
      exit: columns.exit?.[i] ?? columns.exit_price?.[i],
      gross,
      charges,
      net: columns.net?.[i] ?? gross - charges,
      exit_why: columns.exit_why?.[i] ?? columns.reason?.[i],
      score: columns.score?.[i],
      strength: columns.strength?.[i],
      stop: columns.stop?.[i],
      target: columns.target?.[i],
    });
  }
  return out;
}

function One({ name }) {
  const runs = useResource('runs');
  const row = runs.data?.rows.find((one) => one.name === name);
  const isBacktest = row?.kind === 'backtest' || row?.kind === 'whatif';
  const trades = useResource(
    row ? (isBacktest ? `backtest/${encodeURIComponent(name)}` : 'trades') : null,
    isBacktest ? {} : { run: name },
  );
  if (runs.data && !row)
    return html`<${Panel} name="one" title=${name}><${Empty}>This run is no longer in the runs folder.<//><//>`;
  const summary = trades.data?.summary ?? trades.data?.result ?? trades.data?.document?.summary;
  return html`<${Panel}
      name="one"
      title=${name}
      note=${row ? `${row.kind}, ${dayName(row.day)}` : ''}
      tools=${row && !isBacktest && name !== session.value.run && html`<button class="button small" onClick=${() => openRun(name).catch((error) => say(error.message, 'error'))}>Show the whole page of it</button>`}
    >
      ${row?.problem && html`<p class="notice warn">▲ ${row.problem}</p>`}
      ${row && html`<${Facts} className="four" rows=${[['Net', html`<${Money} paise=${row.net} />`], ['Trades', count(row.trades)], ['Candidates', count(row.candidates)], ['Passed', count(row.passed)], ['Updates', count(row.updates)], ...figures(summary)]} />`}<//
    >
    <${Loaded} of=${trades} rows=${8}
      >${(data) => html`<${RunTrades} name=${name} rows=${tradeRows(data)} isBacktest=${isBacktest} />`}<//
    >`;
}

const MONEY = new Set(['gross', 'charges', 'net', 'realised', 'open', 'equity', 'best', 'exposure']);
const SHARES = new Set(['win_rate', 'total_return', 'max_drawdown', 'exposure', 'drawdown']);
/** A document's plain figures as facts; money of a summary is in rupees. */
function figures(summary) {
  return Object.entries(summary ?? {})
    .filter(([name, value]) => typeof value === 'number' && !['trades'].includes(name))
    .map(([name, value]) => [
      words(name),
      SHARES.has(name) ? `${figure(value * 100)} %` : MONEY.has(name) ? rupees(value * 100, name !== 'charges') : figure(value, 4),
    ]);
}

function flat(document, prefix = '') {
  const out = {};
  for (const [name, value] of Object.entries(document ?? {})) {
    if (typeof value === 'number') out[prefix + name] = value;
    else if (
      value &&
      typeof value === 'object' &&
      !Array.isArray(value) &&
      prefix.length < 30 &&
      name !== 'interval' &&
      name !== 'groups'
    )
      Object.assign(out, flat(value, `${prefix}${name} · `));
  }
  return out;
}

function Compare({ a, b }) {
  const found = useResource('compare', { a, b });
  return html`<${Panel} name="compare" title="Two runs beside each other"
    ><${Loaded} of=${found} rows=${8}
      >${(data) => {
        const [left, right] = [flat(data.a), flat(data.b)];
        const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
        const { daily } = data;
        const isMoney = (name) => MONEY.has(name.split(' · ').at(-1));
        const show = (name, value, plus) => (value == null ? '–' : isMoney(name) ? rupees(value, plus) : figure(value, 4));
        return html`<p class="pair-legend">
            <span class="pair-key a" aria-hidden="true"></span>${a} <span class="pair-key b" aria-hidden="true"></span>${b}
          </p>
          ${daily?.day?.length ? html`<${PairBars} label=${`Net result a day of ${a} and ${b}`} names=${daily.day} a=${daily.a} b=${daily.b} titles=${{ a, b }} of=${(paise) => rupees(paise, true)} />` : html`<p class="faint">No common day.</p>`}
          <${Plain}
            label="Figures of both"
            rows=${names}
            rowKey=${(name) => name}
            columns=${[
              ['Figure', (name) => words(name), 'grow'],
              [a, (name) => show(name, left[name]), 'right'],
              [b, (name) => show(name, right[name]), 'right'],
              [
                'Difference',
                (name) =>
                  left[name] == null || right[name] == null
                    ? '–'
                    : isMoney(name)
                      ? html`<${Money} paise=${right[name] - left[name]} />`
                      : figure(right[name] - left[name], 4),
                'right',
              ],
            ]}
          />
          ${
            daily?.day?.length
              ? html`<${Plain}
                  label="Net result a day"
                  rows=${daily.day.map((day, k) => ({ day, a: daily.a[k], b: daily.b[k] }))}
                  columns=${[
                    ['Day', (row) => dayName(row.day), 'grow'],
                    [a, (row) => html`<${Money} paise=${row.a} />`, 'right'],
                    [b, (row) => html`<${Money} paise=${row.b} />`, 'right'],
                    [
                      'Difference',
                      (row) => html`<${Money} paise=${row.a == null || row.b == null ? null : row.b - row.a} />`,
                      'right',
                    ],
                  ]}
                />`
              : ''
          }`;
      }}<//
    ><//
  >`;
}
