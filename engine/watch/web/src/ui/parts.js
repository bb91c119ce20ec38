// Small parts: panels, badges, bars, empty and loading states, plain tables.
import { pref } from '../prefs.js';
import { NONE, arrow, rupees, tone } from '../format.js';
import { html } from './html.js';

/** A titled box that can be folded; `name` keeps whether it is. */
export function Panel({ name, title, tools, note, children, className = '', age }) {
  const folded = pref(`folded.${name}`, false);
  const id = `panel-${name}`;
  return html`<section class=${`panel ${className} ${folded.value ? 'is-folded' : ''}`} aria-labelledby=${id} data-panel=${name}>
    <header class="panel-head">
      <button
        class="fold"
        aria-expanded=${!folded.value}
        aria-controls=${`${id}-body`}
        onClick=${() => {
          folded.value = !folded.value;
        }}
        title=${folded.value ? 'Unfold' : 'Fold'}
      >
        <span class="fold-mark" aria-hidden="true"></span>
        <h2 id=${id}>${title}</h2>
      </button>
      ${note && html`<span class="panel-note">${note}</span>`} ${age && html`<${Age} when=${age} />`}
      <div class="panel-tools">${!folded.value && tools}</div>
    </header>
    <div class="panel-body" id=${`${id}-body`} hidden=${folded.value}>${!folded.value && children}</div>
  </section>`;
}

/** Shows that what a panel asked for could not be renewed. */
function Age({ when }) {
  const seconds = Math.round((performance.now() - when) / 1000);
  return seconds > 15 ? html`<span class="aged" title="These numbers could not be renewed">${seconds} s old</span>` : null;
}

/** What a resource has to show: a skeleton, the error, why it is empty, or its children. */
export function Loaded({ of, empty, rows = 4, children }) {
  if (of.data === null) {
    return of.error
      ? html`<${Empty} kind="error">${of.error} <button class="link" onClick=${of.reload}>Ask again</button><//>`
      : html`<${Skeleton} rows=${rows} />`;
  }
  const stale = of.error ? html`<p class="panel-error" role="status">Not renewed: ${of.error}</p>` : null;
  const nothing = empty?.(of.data);
  return html`${stale}${nothing ? html`<${Empty}>${nothing}<//>` : children(of.data)}`;
}

export const Skeleton = ({ rows = 4 }) =>
  html`<div class="skeleton" role="status" aria-label="Loading">
    ${Array.from(
      { length: rows },
      (_, i) => html`<div class="bone" key=${i} style=${{ width: `${88 - ((i * 23) % 40)}%` }}></div>`,
    )}
  </div>`;

export const Empty = ({ children, kind = '' }) =>
  html`<p class=${`empty ${kind}`} role=${kind === 'error' ? 'alert' : undefined}>${children}</p>`;

/** Money with a sign, an arrow's worth of colour, tabular. */
export const Money = ({ paise, plus = true, className = '' }) =>
  html`<span class=${`num ${plus ? tone(paise) : ''} ${className}`}> ${rupees(paise, plus)}</span>`;

export const Direction = ({ sign, children }) =>
  html`<span class=${`dir ${tone(sign)}`}><span aria-hidden="true">${arrow(sign)}</span> ${' '}${children}</span>`;

const VERDICTS = { passed: '✓', refused: '✕', watched: '○', gated: '⊘' };
export const Verdict = ({ of }) =>
  html`<span class=${`verdict ${of}`}><span aria-hidden="true">${VERDICTS[of] ?? ''}</span> ${of}</span>`;

/** How near a number is to its limit: a bar whose mark is the limit, never colour alone. */
export function Gauge({ used, label, over = 1.25 }) {
  const isKnown = used != null && !Number.isNaN(used);
  const level = !isKnown ? '' : used >= 1 ? 'full' : used >= 0.8 ? 'near' : '';
  const width = isKnown ? (Math.min(used, over) / over) * 100 : 0;
  return html`<span
    class=${`gauge ${level}`}
    role="meter"
    aria-valuemin="0"
    aria-valuemax=${over}
    aria-valuenow=${isKnown ? Math.min(used, over) : 0}
    aria-label=${label}
    aria-valuetext=${isKnown ? `${Math.round(used * 100)} per cent of the limit` : 'unknown'}
  >
    <span class="gauge-fill" style=${{ width: `${width}%` }}></span>
    <span class="gauge-limit" style=${{ left: `${100 / over}%` }}></span
  ></span>`;
}

/** Buttons of which one is pressed. */
export function Choice({ label, value, options, onChoose }) {
  return html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([key, text, title]) =>
        html`<button
          key=${key}
          class=${value === key ? 'is-on' : ''}
          aria-pressed=${value === key}
          title=${title}
          onClick=${() => onChoose(key)}
        >
          ${text}
        </button>`,
    )}
  </div>`;
}

/** A plain table for few rows. Columns: [title, render, class]. */
export function Plain({ label, columns, rows, rowKey, onOpen, foot }) {
  return html`<div class="plain-wrap" tabindex="0" role="region" aria-label=${label}>
    <table class="plain">
      <thead>
        <tr>
          ${columns.map(([title, , kind]) => html`<th scope="col" class=${kind} key=${title}>${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row, i) =>
            html`<tr
              key=${rowKey ? rowKey(row) : i}
              class=${onOpen ? 'opens' : ''}
              tabindex=${onOpen ? 0 : undefined}
              onClick=${onOpen && (() => onOpen(row))}
              onKeyDown=${
                onOpen &&
                ((event) => {
                  if (event.key === 'Enter') onOpen(row);
                })
              }
            >
              ${columns.map(([title, render, kind]) => html`<td class=${kind} key=${title}>${render(row)}</td>`)}
            </tr>`,
        )}
      </tbody>
      ${
        foot &&
        html`<tfoot>
          <tr>
            ${foot.map((cell, i) => html`<td class=${columns[i]?.[2]} key=${i}>${cell}</td>`)}
          </tr>
        </tfoot>`
      }
    </table>
  </div>`;
}

/** Facts as pairs: [name, value, tone]. */
export const Facts = ({ rows, className = '' }) =>
  html`<dl class=${`facts ${className}`}>
    ${rows.map(
      ([name, value, kind]) =>
        html` <div key=${name}>
          <dt>${name}</dt>
          <dd class=${`num ${kind ?? ''}`}>${value ?? NONE}</dd>
        </div>`,
    )}
  </dl>`;
