// The drawer: one candidate or order, whole. What the list knew is drawn at once, the rest when it comes.
import { html, useEffect, useRef, useSignal } from '../ui/html.js';
import { Direction, Facts, Loaded, Plain, Verdict } from '../ui/parts.js';
import { get, post, say, useResource } from '../api.js';
import { buySell, clock, figure, fixed, nanos, rupees, span, words } from '../format.js';
import { freshCandidates, moment, open, opened, selected, where } from '../state.js';

export function close() {
  const { from } = opened.value ?? {};
  opened.value = null;
  if (from?.isConnected) from.focus();
}

export function Opened() {
  const head = useRef(null);
  const what = opened.value;
  useEffect(() => {
    if (what) head.current?.focus();
  }, [what?.kind, what?.id]);
  if (!what) return null;
  return html`<aside
    class="drawer"
    role="dialog"
    aria-labelledby="drawer-title"
    data-opened=${what.kind}
    onKeyDown=${(event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      }
    }}
  >
    ${
      what.kind === 'candidate'
        ? html`<${Candidate} key=${what.id} what=${what} head=${head} />`
        : html`<${Order} key=${what.id} what=${what} head=${head} />`
    }
  </aside>`;
}

function Top({ head, title, children, neighbours }) {
  return html`<header class="drawer-head">
    <h2 id="drawer-title" tabindex="-1" ref=${head}>${title}</h2>
    ${children}
    <span class="drawer-tools"
      >${neighbours} <button class="icon" aria-label="Close" title="Close (Esc)" onClick=${close}>✕</button></span
    >
  </header>`;
}

function Candidate({ what, head }) {
  const found = useResource(`candidate/${what.id}`);
  const row = found.data?.row ?? what.row;
  const step = async (by) => {
    try {
      const page = by > 0 ? await get('candidates', { before: what.id, limit: 1 }) : { rows: later(what.id) };
      if (page.rows[0]) open('candidate', page.rows[0].id, page.rows[0]);
      else say(by > 0 ? 'This is the first candidate.' : 'This is the newest candidate known here.');
    } catch (error) {
      say(error.message, 'error');
    }
  };
  return html`<${Top}
      head=${head}
      title=${row ? `${row.symbol} ${clock(row.t_us)}` : `Candidate ${what.id}`}
      neighbours=${html`<button class="icon" aria-label="Later candidate" title="Later" onClick=${() => step(-1)}>↑</button>
        <button class="icon" aria-label="Earlier candidate" title="Earlier" onClick=${() => step(1)}>↓</button>`}
    >
      ${row && html`<${Verdict} of=${row.gate ? 'gated' : row.verdict} />`}<//
    >
    <div class="drawer-body">
      ${row && html`<${Summary} row=${row} more=${found.data} />`}
      <${Loaded} of=${found} rows=${8}
        >${(data) =>
          html`<${Decision} data=${data} /><${Rules} rules=${data.rules} /> <${Seen} rows=${data.filter} data=${data} /><${Chain}
              rows=${data.chain}
            /><${Stages} of=${data.stages_ns} /> <${Shadows} rows=${data.shadows} data=${data} /><${Statistics}
              data=${data}
            /><${Notes} data=${data} id=${what.id} reload=${found.reload} />`}<//
      >
    </div>`;
}

const later = (id) =>
  [...freshCandidates.peek(), ...(moment.peek()?.candidates.last ?? [])]
    .filter((row) => row.id > id)
    .sort((a, b) => a.id - b.id)
    .slice(0, 1);

function Summary({ row, more }) {
  return html`<div class="summary">
      <${Direction} sign=${row.side}><b>${row.side > 0 ? 'Long' : 'Short'}</b> at <b class="num">${rupees(row.price)}</b><//>
      <span>${row.move > 0 ? 'moved up' : 'moved down'}</span><span>source <b>${row.source}</b></span>
      <button
        class="link"
        onClick=${() => {
          selected.value = row.symbol;
        }}
      >
        Show on the chart
      </button>
    </div>
    <${Facts}
      className="four"
      rows=${[
        ['Strength', fixed(row.strength)],
        ['Volume', `${fixed(row.volume_ratio, 1)}×`],
        ['Move', `${fixed(row.rz, 1, true)} sd`],
        ['Score', fixed(row.score, 3)],
        ...(more
          ? [
              ['Score next', fixed(more.score_next, 3)],
              ['Threshold', fixed(more.threshold, 2)],
              ['Waited', more.waited_updates == null ? null : `${more.waited_updates} updates`],
              ['Decided', clock(more.decided_us)],
            ]
          : []),
      ]}
    />`;
}

/** The rule or the gate that refused it, by how much: what was measured on a bar whose mark is the limit. */
function Decision({ data }) {
  const by = data.refused_by ?? (data.verdict === 'passed' ? null : data);
  if (!by?.reason) {
    const text = data.verdict === 'watched' ? 'Watched only: below what is traded' : 'Passed every rule';
    return html`<section class="why passed">
      <h3>${text}</h3>
      <p>${data.words || 'No rule refused it.'}</p>
    </section>`;
  }
  return html`<section class="why refused">
    <h3><span aria-hidden="true">✕ </span>${by.by === 'gate' ? 'the gate: ' : ''}${by.reason}</h3>
    <p>${by.words}${by.setting && html` <code>${by.setting}</code>`}</p>
    ${by.measured != null && html`<${Against} measured=${by.measured} limit=${by.limit} />`}
  </section>`;
}

const apart = (off) => (off === 0 ? 'at the limit' : `${figure(Math.abs(off) * 100, 3)} % ${off < 0 ? 'below' : 'above'} it`);

function Against({ measured, limit }) {
  if (limit == null)
    return html`<p>Measured <b class="num">${figure(measured)}</b>; the rule has no number to compare it with.</p>`;
  const [low, high] = [Math.min(0, measured, limit), Math.max(0, measured, limit)];
  const room = (high - low || 1) * 1.08,
    at = (value) => `${((value - low) / room) * 100}%`;
  const off = limit !== 0 ? (measured - limit) / Math.abs(limit) : null;
  return html`<div class="against" role="img" aria-label=${`Measured ${figure(measured)}, limit ${figure(limit)}`}>
    <div class="against-bar">
      <span
        class="against-fill"
        style=${{ left: at(Math.min(0, measured)), width: `${(Math.abs(measured) / room) * 100}%` }}
      ></span>
      <span class="against-limit" style=${{ left: at(limit) }}></span>
    </div>
    <div class="against-words">
      <span>measured <b class="num">${figure(measured, 4)}</b></span
      ><span>limit <b class="num">${figure(limit, 4)}</b></span>
      ${off !== null && html`<span class="num">${apart(off)}</span>`}
    </div>
  </div>`;
}

const SAID = { yes: '✓ yes', no: '✕ no', 'not asked': '· not asked' };
const ruleName = (row) => (row.said === 'yes' ? `every rule of the ${row.by === 'gate' ? 'gate' : 'signals'}` : words(row.reason));

function Rules({ rules }) {
  if (!rules?.length) return null;
  return html`<section>
    <h3>Rules and gate</h3>
    <${Plain}
      label="Rules"
      rows=${rules}
      columns=${[
        ['Said', (row) => html`<span class=${`said ${row.said.replace(' ', '-')}`}>${SAID[row.said] ?? row.said}</span>`],
        ['Rule', (row) => html`<span title=${row.words}>${ruleName(row)}</span>`, 'grow'],
        ['Measured', (row) => figure(row.measured), 'right'],
        ['Limit', (row) => figure(row.limit), 'right'],
      ]}
    />
  </section>`;
}

function Seen({ rows, data }) {
  if (!rows?.length) {
    return html`<section>
      <h3>What the filter saw</h3>
      <p class="empty">
        ${data.model ? 'The file of its model is gone: no training ranges to compare with.' : 'No filter looked at this candidate.'}
      </p>
    </section>`;
  }
  const sorted = [...rows].sort((a, b) => b.is_outside - a.is_outside || (b.beyond ?? 0) - (a.beyond ?? 0));
  const outside = sorted.filter((row) => row.is_outside).length;
  return html`<section>
    <h3>What the filter saw <span class="faint">${outside} of ${rows.length} outside what training had</span></h3>
    <div class="plain-wrap" tabindex="0" role="region" aria-label="Features beside their training ranges">
      <table class="plain seen">
        <thead>
          <tr>
            <th scope="col">Feature</th>
            <th scope="col" class="right">Value</th>
            <th scope="col" class="grow">1 – 50 – 99 % of training</th>
          </tr>
        </thead>
        <tbody>
          ${sorted.map(
            (row) =>
              html`<tr key=${row.feature} class=${row.is_outside ? 'outside' : ''}>
                <td>${row.is_outside ? html`<span class="out-mark" title="outside">◆</span> ` : ''}${words(row.feature)}</td>
                <td class="right num">${figure(row.value)}</td>
                <td><${Range} row=${row} /></td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </section>`;
}

function Range({ row }) {
  const { low, middle, high, value } = row;
  if (low == null) return html`<span class="faint">not known of its model</span>`;
  const width = high - low || 1,
    from = low - width * 0.6,
    all = width * 2.2;
  const at = (v) => `${Math.max(0, Math.min(100, ((v - from) / all) * 100))}%`;
  return html`<span
    class="range"
    role="img"
    aria-label=${`from ${figure(low)} over ${figure(middle)} to ${figure(high)}`}
    title=${`${figure(low)} – ${figure(middle)} – ${figure(high)}`}
    ><span class="range-box" style=${{ left: at(low), width: `${(width / all) * 100}%` }}></span>
    <span class="range-mid" style=${{ left: at(middle) }}></span>
    ${value != null && html`<span class=${`range-dot ${row.is_outside ? 'out' : ''}`} style=${{ left: at(value) }}></span>`}</span
  >`;
}

export function Chain({ rows }) {
  if (!rows?.length) return null;
  const first = rows[0].t_us;
  return html`<section>
    <h3>Chain</h3>
    <ol class="chain">
      ${rows.map(
        (row, k) =>
          html`<li key=${k} class=${`chain-${row.kind}`}>
            <span class="num chain-time">${clock(row.t_us)}</span><span class="chain-kind">${row.kind}</span>
            <span class="chain-text">${row.text}</span
            ><span class="num chain-after">${row.t_us > first ? `+${span((row.t_us - first) / 1e6)}` : ''}</span>
          </li>`,
      )}
    </ol>
  </section>`;
}

function Stages({ of }) {
  if (!of) return null;
  const names = ['decoded', 'scored', 'decided', 'done'].filter((name) => of[name] != null);
  const most = Math.max(...names.map((name) => of[name]), 1);
  return html`<section>
    <h3>What each stage took</h3>
    <div class="stages">
      ${names.map(
        (name) =>
          html`<div class="stage" key=${name}>
            <span>${name}</span
            ><span class="stage-bar" aria-hidden="true"><span style=${{ width: `${(of[name] / most) * 100}%` }}></span></span
            ><span class="num right">${nanos(of[name])}</span>
          </div>`,
      )}
    </div>
  </section>`;
}

function Shadows({ rows, data }) {
  if (!rows?.length) return null;
  return html`<section>
    <h3>Other models would have said</h3>
    <${Plain}
      label="Shadows"
      rows=${rows}
      columns=${[
        ['Model', (row) => html`<code>${row.model.slice(0, 12)}</code>`, 'grow'],
        ['Score', (row) => fixed(row.score, 3), 'right'],
        [
          'Beside the threshold',
          (row) =>
            row.score == null || data.threshold == null
              ? '–'
              : row.score >= data.threshold
                ? '✓ would keep'
                : '✕ would refuse',
        ],
      ]}
    />
  </section>`;
}

function Statistics({ data }) {
  const rows = [...Object.entries(data.statistics ?? {}), ...Object.entries(data.own ?? {})];
  return html`<section>
    <h3>Statistics</h3>
    <${Facts}
      className="three"
      rows=${rows.map(([name, value]) => [words(name), typeof value === 'number' ? figure(value, 5) : String(value ?? '–')])}
    />
    ${data.model && html`<p class="faint">Model <code>${data.model}</code></p>`}
    ${data.note && html`<p>Note of its source: ${data.note}</p>`}
  </section>`;
}

function Notes({ data, id, reload }) {
  const text = useSignal('');
  const add = async (event) => {
    event.preventDefault();
    if (text.value.trim() && (await kept({ candidate: id, text: text.value.trim() }))) text.value = '';
  };
  const kept = async (note) => {
    try {
      await post('notes', { run: where.peek().run || '', ...note });
      reload();
      return true;
    } catch (error) {
      say(error.message, 'error');
      return false;
    }
  };
  if (data.notes === undefined) return null;
  return html`<section>
    <h3>Notes</h3>
    ${
      data.notes?.length
        ? html`<ul class="notes">
            ${data.notes.map(
              (note, k) =>
                html`<li key=${k}>
                  <span class="num faint">${clock(note.t_us)}</span>
                  ${note.text}${' '}${(note.tags ?? []).map((tag) => html`<span class="chip" key=${tag}>${tag}</span>`)}
                  <button
                    class="icon"
                    aria-label=${`Take the note ${note.text} back`}
                    title=${`Take it back (written by ${note.who})`}
                    onClick=${() => kept({ removes: note.n })}
                  >
                    ✕
                  </button>
                </li>`,
            )}
          </ul>`
        : html`<p class="faint">None yet.</p>`
    }
    <form class="note-form" onSubmit=${add}>
      <input
        aria-label="A note; #words are tags"
        placeholder="A note; #words are tags"
        maxlength="1000"
        value=${text.value}
        onInput=${(event) => {
          text.value = event.currentTarget.value;
        }}
      /><button class="button" disabled=${!text.value.trim()}>Add</button>
    </form>
  </section>`;
}

function Order({ what, head }) {
  const found = useResource(`order/${what.id}`);
  const row = found.data?.row ?? what.row;
  return html`<${Top} head=${head} title=${row ? `${row.symbol} ${row.role} order ${row.id}` : `Order ${what.id}`}>
      ${row && html`<span class="chip">${row.status}</span>`}<//
    >
    <div class="drawer-body">
      ${
        row &&
        html`<div class="summary">
            <${Direction} sign=${row.side}><b>${buySell(row.side)} ${row.quantity}</b><//
            ><span>${row.type}</span><span>${words(row.why)}</span>
            ${
              row.candidate
                ? html`<button class="link" onClick=${() => open('candidate', row.candidate)}>Candidate ${row.candidate}</button>`
                : ''
            }
          </div>
          <${Facts}
            className="four"
            rows=${[
              ['Price', rupees(row.price)],
              ['Trigger', row.trigger ? rupees(row.trigger) : '–'],
              ['Filled', `${row.filled} of ${row.quantity}`],
              ['Average', row.average ? rupees(row.average) : '–'],
              ['Round trip', row.latency_ms == null ? '–' : `${figure(row.latency_ms)} ms`],
              ['Broker’s id', row.order_id || '–'],
              ['Source', row.source],
              ['Sent', clock(row.t_us)],
            ]}
          />`
      }
      <${Loaded} of=${found}>${(data) => html`<${Chain} rows=${data.chain} />`}<//>
    </div>`;
}
