// Limits and budgets: each with how near it is; alarms; why the engine reduces.
import { html } from '../ui/html.js';
import { Empty, Gauge, Panel, Skeleton } from '../ui/parts.js';
import { count, inUnit, percent, words } from '../format.js';
import { pref } from '../prefs.js';
import { moment } from '../state.js';

const nearest = pref('risk.nearest', true);

export function RiskView() {
  return html`<div class="grid risk">
    <${Limits} />
    <div class="stack"><${Budgets} /><${Alarms} /></div>
  </div>`;
}

function Limits() {
  const rows = moment.value?.limits;
  const sorted = rows && nearest.value ? [...rows].sort((a, b) => (b.used ?? -1) - (a.used ?? -1)) : rows;
  const tools = html`<button
    class=${`toggle ${nearest.value ? 'is-on' : ''}`}
    aria-pressed=${nearest.value}
    onClick=${() => {
      nearest.value = !nearest.value;
    }}
  >
    Nearest first
  </button>`;
  return html`<${Panel} name="limits" title="Limits" note="the mark is the limit" tools=${tools} className="dims"
    >${
      !rows
        ? html`<${Skeleton} rows=${8} />`
        : html`<ul class="gauges">
            ${sorted.map(
              (row) =>
                html`<li key=${row.name} class="gauge-row">
                  <div class="gauge-name"><b>${words(row.name)}</b><span class="faint">${row.words}</span></div>
                  <${Gauge} used=${row.used} label=${words(row.name)} />
                  <span class="num right gauge-numbers"
                    >${inUnit(row.value, row.unit)} <span class="faint">of ${inUnit(row.limit, row.unit)}</span></span
                  ><span class="num right gauge-share"
                    >${row.used >= 1 ? '■ ' : row.used >= 0.8 ? '▲ ' : ''}${percent(row.used, 0)}</span
                  >
                </li>`,
            )}
          </ul>`
    }<//
  >`;
}

function Budgets() {
  const rows = moment.value?.budgets;
  return html`<${Panel} name="budgets" title="Rate budgets" note="what is left for exits is the reserve" className="dims"
    >${
      !rows
        ? html`<${Skeleton} />`
        : rows.length === 0
          ? html`<${Empty}>This broker has no budget.<//>`
          : html`<ul class="gauges">
              ${rows.map(
                (row) =>
                  html`<li key=${row.name} class="gauge-row">
                    <div class="gauge-name">
                      <b>${row.name}</b
                      >${row.reserve ? html`<span class="faint">reserve of ${count(row.reserve)} for exits</span>` : ''}
                    </div>
                    <${Gauge} used=${row.limit ? row.used / row.limit : null} label=${row.name} />
                    <span class="num right gauge-numbers">${count(row.used)} <span class="faint">of ${count(row.limit)}</span></span
                    ><span class="num right gauge-share">${row.limit ? percent(row.used / row.limit, 0) : ''}</span>
                  </li>`,
              )}
            </ul>`
    }<//
  >`;
}

function Alarms() {
  const now = moment.value;
  const rows = Object.entries(now?.alarms ?? {}).sort((a, b) => b[1] - a[1]),
    stopped = Object.entries(now?.stopped ?? {});
  return html`<${Panel} name="alarms" title="Alarms and stops">
    ${
      now?.reducing?.length > 0 &&
      html`<p class="notice warn">
        <b>▲ Reducing</b> because of ${now.reducing.map(words).join(', ')}: positions are only closed.
      </p>`
    }
    ${stopped.map(([name, why]) => html`<p class="notice warn" key=${name}><b>▲ ${name} stopped</b> ${why}</p>`)}
    ${
      rows.length
        ? html`<ul class="counts">
            ${rows.map(
              ([name, n]) =>
                html`<li key=${name}><span>${words(name).toLowerCase()}</span><b class="num">${count(n)}</b></li>`,
            )}
          </ul>`
        : html`<${Empty}>No alarm was raised${now?.reducing?.length || stopped.length ? '' : ', nothing is stopped'}.<//>`
    }<//
  >`;
}
