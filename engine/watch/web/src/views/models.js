// The filter's models: which decides, which only watch, how far today lies from training.
import { html } from '../ui/html.js';
import { Empty, Facts, Loaded, Panel, Plain } from '../ui/parts.js';
import { useResource } from '../api.js';
import { figure, words } from '../format.js';
import { confirmed } from '../operations.js';
import { mayOperate, moment } from '../state.js';

const PSI_NEAR = 0.1,
  PSI_FAR = 0.25;

export function ModelsView() {
  const found = useResource('models', {}, 30);
  return html`<div class="grid models"><${Active} found=${found} /><${Drift} found=${found} /><${Known} found=${found} /></div>`;
}

/** The models of an answer by their role, whichever way it names them. */
function named(data) {
  const known = (data.known ?? []).map((row) => ({ ...row, id: row.sha256 ?? row.model }));
  const active = data.active && Object.keys(data.active).length ? data.active : known.find((row) => row.role === 'active');
  const beside = data.shadows?.length ? data.shadows : known.filter((row) => row.role === 'shadow' || row.role === 'arm B');
  return { known, active, beside: beside.map((model) => (typeof model === 'string' ? { sha256: model } : model)) };
}

const facts = (model) =>
  Object.entries(model)
    .filter(([name, value]) => typeof value !== 'object' && name !== 'id')
    .map(([name, value]) => [words(name), typeof value === 'number' ? figure(value, 4) : String(value)]);

function Active({ found }) {
  const tools = html`<button
    class="button"
    disabled=${!mayOperate.value}
    onClick=${() => confirmed('rollback').then((done) => done && found.reload())}
  >
    Roll back
  </button>`;
  return html`<${Panel}
    name="active"
    title="The model that decides"
    note=${moment.value?.filter ? `filter ${moment.value.filter}` : ''}
    tools=${tools}
    ><${Loaded} of=${found}
      >${(data) => {
        const { active, beside } = named(data);
        return html`${data.problem && html`<p class="notice warn">▲ ${data.problem}</p>`}
          ${
            active
              ? html`<${Facts} className="two" rows=${facts(active)} />`
              : html`<${Empty}>No model decides: the filter is off.<//>`
          }
          <h3>Shadows</h3>
          ${beside.map((model, k) => html`<${Facts} key=${k} className="two" rows=${facts(model)} />`)}
          ${beside.length === 0 && html`<p class="faint">No other model runs beside it.</p>`}`;
      }}<//
    ><//
  >`;
}

function Drift({ found }) {
  return html`<${Panel} name="drift" title="Drift from training" note="population stability index"
    ><${Loaded} of=${found} empty=${(data) => (data.drift ? '' : 'Not measured: no model with training ranges decides.')}
      >${({ drift }) => {
        const rows = Object.entries(drift.psi).sort((a, b) => b[1] - a[1]);
        return html`${!drift.enough && html`<p class="notice">Too few candidates for a judgement yet.</p>`}
          <ul class="gauges drift">
            ${rows.map(
              ([name, value]) =>
                html`<li class="gauge-row" key=${name}>
                  <div class="gauge-name"><b>${words(name)}</b></div>
                  <span
                    class=${`psi ${value >= PSI_FAR ? 'far' : value >= PSI_NEAR ? 'near' : ''}`}
                    role="img"
                    aria-label=${`index ${figure(value)}`}
                  >
                    <span class="psi-fill" style=${{ width: `${Math.min(100, (value / 0.5) * 100)}%` }}></span
                    ><span class="psi-mark" style=${{ left: `${(PSI_NEAR / 0.5) * 100}%` }}></span
                    ><span class="psi-mark" style=${{ left: `${(PSI_FAR / 0.5) * 100}%` }}></span
                  ></span>
                  <span class="num right gauge-share">${figure(value)}</span
                  ><span class="gauge-said"
                    >${drift.drifted.includes(name) ? '▲ drifted' : value >= PSI_NEAR ? 'moved' : 'as trained'}</span
                  >
                </li>`,
            )}
          </ul>`;
      }}<//
    ><//
  >`;
}

function Known({ found }) {
  const promote = (row) => confirmed('promote', row.id).then((done) => done && found.reload());
  const decides = (row) => row.role === 'active' || (moment.value?.models?.active && row.id.startsWith(moment.value.models.active));
  const about = (row) =>
    row.words ??
    row.why ??
    [row.features && `${row.features} features`, row.threshold && `threshold ${row.threshold}`].filter(Boolean).join(', ');
  return html`<${Panel} name="known" title="Models that are known here"
    ><${Loaded} of=${found} empty=${(data) => (data.known?.length ? '' : 'No model file lies in the models folder.')}
      >${(data) =>
        html`<${Plain}
          label="Models"
          rows=${named(data).known}
          rowKey=${(row) => row.id}
          columns=${[
            ['Model', (row) => html`<code>${row.id.slice(0, 16)}</code>`],
            ['Role', (row) => (decides(row) ? 'active' : row.role || '–')],
            ['Made', (row) => row.made || '–'],
            ['About', about, 'grow wrap'],
            [
              'Change',
              (row) =>
                decides(row)
                  ? html`<span class="chip">decides</span>`
                  : html`<button
                      class="button small"
                      disabled=${!mayOperate.value || row.role === 'refused'}
                      onClick=${() => promote(row)}
                    >
                      Promote
                    </button>`,
              'right',
            ],
          ]}
        />`}<//
    ><//
  >`;
}
