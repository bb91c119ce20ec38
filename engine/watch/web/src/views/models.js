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

const facts = (model) =>
  Object.entries(model)
    .filter(([, value]) => typeof value !== 'object')
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
    note=${moment.value ? `filter ${moment.value.filter}` : ''}
    tools=${tools}
    ><${Loaded} of=${found}
      >${(data) =>
        html` ${data.active && Object.keys(data.active).length ? html`<${Facts} className="two" rows=${facts(data.active)} />` : html`<${Empty}>No model decides: the filter is off.<//>`}
          <h3>Shadows</h3>
          ${data.shadows?.length ? data.shadows.map((model, k) => html`<${Facts} key=${k} className="two" rows=${facts(typeof model === 'string' ? { sha256: model } : model)} />`) : html`<p class="faint">No other model runs beside it.</p>`}`}<//
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
  const promote = (row) => confirmed('promote', row.sha256).then((done) => done && found.reload());
  return html`<${Panel} name="known" title="Models that are known here"
    ><${Loaded} of=${found} empty=${(data) => (data.known.length ? '' : 'No model file lies in the models folder.')}
      >${(data) =>
        html`<${Plain}
          label="Models"
          rows=${data.known}
          rowKey=${(row) => row.sha256}
          columns=${[
            ['Model', (row) => html`<code>${row.sha256.slice(0, 16)}</code>`],
            ['Made', (row) => row.made || '–'],
            ['', (row) => row.words, 'grow wrap'],
            [
              '',
              (row) =>
                moment.value?.models.active && row.sha256.startsWith(moment.value.models.active)
                  ? html`<span class="chip">decides</span>`
                  : html`<button class="button small" disabled=${!mayOperate.value} onClick=${() => promote(row)}>Promote</button>`,
              'right',
            ],
          ]}
        />`}<//
    ><//
  >`;
}
