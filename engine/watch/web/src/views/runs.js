// Runs: live, paper, backtests, what-ifs. One opened, or two beside each other.
import { html, useMemo } from '../ui/html.js';
import { Choice, Direction, Empty, Facts, Loaded, Money, Panel, Plain } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { say, useResource } from '../api.js';
import { PairBars } from '../charts/svg.js';
import { count, dayName, figure, rupees, words } from '../format.js';
import { daysOf, figures, flat, isMoney, shown, tradeRows } from './run_documents.js';
import { pref } from '../prefs.js';
import { openRun, session } from '../state.js';
import { RunTrades } from './run_trades.js';

const chosen = pref('runs.chosen', ['', '']); // one or two names
const kind = pref('runs.kind', '');

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

/** Only results have figures to compare: backtests and what-ifs. */
function isComparable(row, a, rows) {
  const isResult = (one) => one && (one.kind === 'backtest' || one.kind === 'whatif');
  return a && isResult(row) && isResult(rows.find((one) => one.name === a));
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
    { key: 'day', label: 'Day', width: '104px', min: 420, render: (row) => daysOf(row.day), sort: (row) => row.began_us },
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
        isComparable(row, a, found.data.rows) && row.name !== a
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

function One({ name }) {
  const runs = useResource('runs');
  const row = runs.data?.rows.find((one) => one.name === name);
  const isResult = row?.kind === 'backtest' || row?.kind === 'whatif';
  const found = useResource(
    row ? (isResult ? `backtest/${encodeURIComponent(name)}` : 'trades') : null,
    isResult ? {} : { run: name },
  );
  if (runs.data && !row)
    return html`<${Panel} name="one" title=${name}><${Empty}>This run is no longer in the runs folder.<//><//>`;
  const show = () => openRun(name).catch((error) => say(error.message, 'error'));
  const canShow = row && !isResult && name !== session.value.run;
  return html`<${Panel}
      name="one"
      title=${name}
      note=${row ? `${row.kind}, ${daysOf(row.day)}` : ''}
      tools=${canShow && html`<button class="button small" onClick=${show}>Show the whole page of it</button>`}
    >
      ${row?.problem && html`<p class="notice warn">▲ ${row.problem}</p>`}
      ${row && html`<${Facts} className="four" rows=${[...countsOf(row), ...figures(found.data?.result)]} />`}<//
    >
    ${found.data?.before && html`<${WhatIf} of=${found.data} />`}
    ${
      row?.kind !== 'whatif' &&
      html`<${Loaded} of=${found} rows=${8}
        >${(data) => html`<${RunTrades} name=${name} rows=${tradeRows(data)} isBacktest=${isResult} />`}<//
      >`
    }`;
}

const countsOf = (row) =>
  [
    ['Net', row.net == null ? null : html`<${Money} paise=${row.net} />`],
    ['Trades', row.trades],
    ['Orders', row.orders],
    ['Candidates', row.candidates],
    ['Passed', row.passed],
    ['Updates', row.updates],
  ]
    .filter(([, value]) => value != null)
    .map(([name, value]) => [name, typeof value === 'number' ? count(value) : value]);

/** A day made again with a change, beside the day as it was. */
function WhatIf({ of }) {
  const names = Object.keys(of.before).filter((name) => typeof of.before[name] === 'number');
  return html`<${Panel} name="whatif" title="What if" note=${(of.changes ?? []).join(', ')}>
    <${Plain}
      label="Figures before and after"
      rows=${names}
      columns=${[
        ['Figure', (name) => words(name), 'grow'],
        ['As it was', (name) => shown(name, of.before[name]), 'right'],
        ['With the change', (name) => shown(name, of.after[name]), 'right'],
        ['Difference', (name) => shown(name, of.after[name] - of.before[name]), 'right'],
      ]}
    />
    ${
      of.differences?.length
        ? html`<h3 class="inset">What became another</h3>
            <${Plain}
              label="Candidates whose way differs"
              rows=${of.differences.slice(0, 500)}
              columns=${[
                ['Time', (row) => row.time],
                ['Symbol', (row) => html`<${Direction} sign=${row.move === 'up' ? 1 : -1}><b>${row.symbol}</b><//>`],
                ['Source', (row) => row.source],
                ['Rule', (row) => row.rule, 'grow wrap'],
                ['Net', (row) => html`<${Money} paise=${row.net * 100} />`, 'right'],
              ]}
            />`
        : html`<${Empty}>No candidate went another way.<//>`
    }<//
  >`;
}

function Compare({ a, b }) {
  const found = useResource('compare', { a, b });
  return html`<${Panel} name="compare" title="Two runs beside each other"
    ><${Loaded} of=${found} rows=${8}
      >${(data) => {
        const [left, right] = [flat(data.a), flat(data.b)];
        const names = [...new Set([...Object.keys(left), ...Object.keys(right)])];
        const { daily } = data;
        const paise = (column) => column.map((rupee) => (rupee == null ? null : Math.round(rupee * 100)));
        const days = daily?.day?.length ? { day: daily.day, a: paise(daily.a), b: paise(daily.b) } : null;
        const words_ = (value) => rupees(value, true);
        return html`<p class="pair-legend">
            <span class="pair-key a" aria-hidden="true"></span>${a} <span class="pair-key b" aria-hidden="true"></span>${b}
          </p>
          ${
            days
              ? html`<${PairBars}
                  label=${`Net result a day of ${a} and ${b}`}
                  names=${days.day}
                  a=${days.a}
                  b=${days.b}
                  titles=${{ a, b }}
                  of=${words_}
                />`
              : html`<p class="faint">No day of either is known.</p>`
          }
          <${Plain}
            label="Figures of both"
            rows=${names}
            rowKey=${(name) => name}
            columns=${[
              ['Figure', (name) => words(name), 'grow'],
              [a, (name) => shown(name, left[name]), 'right'],
              [b, (name) => shown(name, right[name]), 'right'],
              [
                'Difference',
                (name) =>
                  left[name] == null || right[name] == null
                    ? '–'
                    : isMoney(name)
                      ? html`<${Money} paise=${(right[name] - left[name]) * 100} />`
                      : figure(right[name] - left[name], 4),
                'right',
              ],
            ]}
          />
          ${
            days
              ? html`<${Plain}
                  label="Net result a day"
                  rows=${days.day.map((day, k) => ({ day, a: days.a[k], b: days.b[k] }))}
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
