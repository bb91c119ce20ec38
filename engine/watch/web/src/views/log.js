// Alerts with their acknowledgement, and the log with its filter.
import { html, useEffect, useMemo, useRef, useSignal } from '../ui/html.js';
import { Empty, Loaded, Panel } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { get, useResource } from '../api.js';
import { clock, count, span } from '../format.js';
import { confirmed } from '../operations.js';
import { pref } from '../prefs.js';
import { events, isLive, mayOperate, moment, where } from '../state.js';

const KINDS = ['trading', 'signals', 'feed', 'errors'],
  LIMIT = 500;
const filter = pref('log.filter', { kind: '', text: '' });

export function LogView() {
  return html`<div class="grid log"><${Alerts} /><${Log} /></div>`;
}

const SIGNS = { critical: '■', warning: '▲', info: '●' };

/** Since when, how long, how often. */
function lasted(row) {
  const now = moment.value?.now_us;
  const seconds = row.since_us && ((row.until_us ?? now) - row.since_us) / 1e6;
  return [
    row.since_us && `since ${clock(row.since_us)}`,
    seconds > 0 && (row.until_us ? `over after ${span(seconds)}` : span(seconds)),
    row.count > 1 && `${count(row.count)} times`,
  ]
    .filter(Boolean)
    .join(', ');
}

function Alerts() {
  const found = useResource('alerts', {}, 5);
  const acknowledge = (row) => confirmed('acknowledge', String(row.id)).then((done) => done && found.reload());
  return html`<${Panel} name="alerts" title="Alerts" age=${found.when}
    ><${Loaded}
      of=${found}
      empty=${(data) => (data.rows.length ? '' : 'No alert in this run: nothing crossed a threshold of the configuration.')}
      >${(data) =>
        html`<ul class="alert-list">
          ${data.rows.map(
            (row) =>
              html`<li key=${row.id} class=${`alert ${row.severity} ${row.until_us ? 'is-over' : ''}`}>
                <span class="alert-sign" aria-hidden="true">${SIGNS[row.severity] ?? '●'}</span>
                <div>
                  <b>${row.name}</b> <span class="faint">${row.severity}</span>
                  <p>${row.text}</p>
                  <p class="faint num">
                    ${lasted(row)}
                  </p>
                </div>
                ${
                  row.acknowledged_by
                    ? html`<span class="chip">seen by ${row.acknowledged_by}</span>`
                    : html`<button class="button small" disabled=${!mayOperate.value} onClick=${() => acknowledge(row)}>
                        Acknowledge
                      </button>`
                }
              </li>`,
          )}
        </ul>`}<//
    ><//
  >`;
}

const COLUMNS = [
  { key: 'time', label: 'Time', width: '78px', render: (row) => html`<span class="num">${clock(row.t_us)}</span>` },
  {
    key: 'kind',
    label: 'Kind',
    width: '70px',
    min: 420,
    render: (row) => html`<span class=${`log-kind ${row.kind}`}>${row.kind}</span>`,
  },
  { key: 'name', label: 'Event', width: '84px', min: 560, render: (row) => row.name },
  {
    key: 'text',
    label: 'Text',
    width: 'minmax(0, 1fr)',
    render: (row) => html`<span class="log-text" title=${row.text}>${row.text}</span>`,
  },
];

function Log() {
  const rows = useSignal([]),
    trouble = useSignal(''),
    isDone = useSignal(false),
    busy = useRef(false),
    added = useSignal(0);
  const { run, at } = where.value;
  const { kind, text } = filter.value;
  const key = `${run}|${at}|${kind}|${text}`;
  const current = useRef(key);
  const load = async (before) => {
    if (busy.current === key) return;
    busy.current = key;
    try {
      const page = await get('log', { kind, text: text.trim(), before, limit: LIMIT });
      if (current.current !== key) return;
      rows.value = before ? rows.peek().concat(page.rows) : page.rows;
      isDone.value = page.rows.length < LIMIT;
      trouble.value = '';
    } catch (error) {
      trouble.value = error.message;
    } finally {
      if (busy.current === key) busy.current = false;
    }
  };
  useEffect(() => {
    current.current = key;
    isDone.value = false;
    const timer = setTimeout(() => load(), text ? 250 : 0);
    return () => clearTimeout(timer);
  }, [key]);
  const fresh = events.value;
  useEffect(() => {
    if (!isLive.peek()) return;
    const top = rows.peek()[0]?.seq ?? 0,
      wanted = text.trim().toLowerCase();
    const more = fresh.filter(
      (row) => row.seq > top && (!kind || row.kind === kind) && (!wanted || row.text.toLowerCase().includes(wanted)),
    );
    if (!more.length || !rows.peek().length) return;
    rows.value = more.concat(rows.peek());
    added.value += more.length;
  }, [fresh]);
  const source = useMemo(
    () => ({
      total: rows.value.length,
      at: (i) => rows.value[i],
      need: (from, to) => {
        if (to >= rows.value.length && rows.value.length && !isDone.value) load(rows.value.at(-1).seq);
      },
    }),
    [rows.value, isDone.value, key],
  );
  const tools = html`<label class="inline"
      ><span class="sr">Kind</span
      ><select
        aria-label="Kind of event"
        value=${kind}
        onChange=${(event) => {
          filter.value = { ...filter.value, kind: event.currentTarget.value };
        }}
      >
        <option value="">All kinds</option>
        ${KINDS.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label
    >
    <label class="inline"
      ><span class="sr">Text</span
      ><input
        type="search"
        placeholder="Text"
        aria-label="Text in the log"
        value=${text}
        onInput=${(event) => {
          filter.value = { ...filter.value, text: event.currentTarget.value };
        }}
    /></label>`;
  return html`<${Panel}
    name="log"
    title="Log"
    tools=${tools}
    note=${isDone.value ? count(rows.value.length) : `${count(rows.value.length)}+`}
    >${
      trouble.value
        ? html`<${Empty} kind="error">${trouble.value}<//>`
        : html`<${VTable}
            name="log"
            label="Log"
            source=${source}
            columns=${COLUMNS}
            rowKey=${(row) => row.seq}
            anchor=${added.value}
            rowClass=${(row) => row.kind}
            empty=${kind || text ? 'No line fits this filter.' : 'Nothing has happened yet.'}
          />`
    }<//
  >`;
}
