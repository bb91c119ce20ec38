// Candidates: filtered, one row each, the refused ones too. Rows come by pages as they are scrolled to.
import { html, useEffect, useMemo, useRef, useSignal } from '../ui/html.js';
import { Direction, Panel, Verdict } from '../ui/parts.js';
import { VTable } from '../ui/table.js';
import { get } from '../api.js';
import { clock, count, figure, fixed, rupees } from '../format.js';
import { pref } from '../prefs.js';
import { freshCandidates, instruments, isLive, moment, open, opened, selected, where } from '../state.js';

const LIMIT = 500;
const filter = pref('candidates.filter', { symbol: '', verdict: '', reason: '', source: '' });

/** Pages of candidates of one filter; what is new is put in front. */
class Pages {
  constructor(query, changed) {
    this.query = query;
    this.changed = changed;
    this.rows = [];
    this.total = 0;
    this.added = 0;
    this.at = new Map();
    this.said = new Map();
    this.error = '';
    this.isReady = false;
    this.isDone = false;
    this.busy = null;
  }

  async more() {
    if (this.isDone || this.busy) return this.busy;
    const abort = (this.abort = new AbortController());
    this.busy = get('candidates', { ...this.query, limit: LIMIT, before: this.rows.at(-1)?.id }, { signal: abort.signal });
    try {
      const page = await this.busy;
      this.rows = this.rows.concat(page.rows);
      this.isDone = page.rows.length < LIMIT;
      this.total = this.isDone ? this.rows.length : Math.max(page.total, this.rows.length);
      this.isReady = true;
      page.rows.forEach((row) => this.at.set(row.id, true));
      this.error = '';
    } catch (error) {
      if (error.name !== 'AbortError') {
        this.error = error.message;
        this.isDone = true;
      }
    }
    this.busy = null;
    this.changed();
    return null;
  }

  need(from, to) {
    if (this.isReady && to > this.rows.length && this.rows.length < this.total) this.more();
  }

  /** Rows of the WebSocket, newest first. */
  add(fresh) {
    if (!this.isReady) return;
    let changed = false;
    for (const row of fresh) {
      const at = this.at.get(row.id); // decided since: the same line says another thing now
      if (at === undefined || this.said.get(row.id) === row) continue;
      this.said.set(row.id, row);
      changed = true;
    }
    if (changed) this.rows = this.rows.map((row) => this.said.get(row.id) ?? row);
    const matching = fresh.filter((row) => !this.at.has(row.id) && this._fits(row));
    if (!matching.length) {
      if (changed) this.changed();
      return;
    }
    matching.forEach((row) => this.at.set(row.id, true));
    this.rows = matching.concat(this.rows);
    this.total += matching.length;
    this.added += matching.length;
    this.changed();
  }

  _fits(row) {
    const { symbol, verdict, reason, source } = this.query;
    return (
      (!symbol || row.symbol === symbol) &&
      (!verdict || row.verdict === verdict) &&
      (!reason || row.reason === reason || row.gate === reason) &&
      (!source || row.source === source) &&
      row.id > (this.rows[0]?.id ?? 0)
    );
  }
}

export function CandidatesPanel() {
  const tick = useSignal(0),
    pages = useRef(null);
  const text = filter.value.symbol.trim().toUpperCase();
  const symbol = text === '*' ? selected.value : instruments.value?.bySymbol.has(text) ? text : '';
  const query = useMemo(
    () => ({ symbol, verdict: filter.value.verdict, reason: filter.value.reason, source: filter.value.source }),
    [symbol, filter.value],
  );
  const { run, at } = where.value;
  useEffect(() => {
    const made = (pages.current = new Pages(query, () => {
      if (pages.current === made) tick.value++;
    }));
    made.more();
    return () => made.abort?.abort();
  }, [JSON.stringify(query), run, at]);
  useEffect(() => {
    if (isLive.value) pages.current?.add(freshCandidates.value);
  }, [freshCandidates.value]);
  tick.value;
  const now = pages.current,
    counts = moment.value?.candidates;
  const source = { total: now?.isReady ? now.total : 12, at: (i) => now?.rows[i], need: (from, to) => now?.need(from, to) };
  return html`<${Panel}
    name="candidates"
    title="Candidates"
    className="candidates-panel"
    note=${counts ? `${count(counts.passed)} passed of ${count(counts.total)}` : ''}
  >
    <${Filter} reasons=${useReasons(now?.rows)} />
    ${
      now?.error
        ? html`<p class="empty error" role="alert">${now.error}</p>`
        : html`<${VTable}
            name="candidates"
            label="Candidates"
            source=${source}
            columns=${COLUMNS}
            rowKey=${(row) => row.id}
            anchor=${now?.added ?? 0}
            onOpen=${(row) => open('candidate', row.id, row)}
            rowClass=${(row) => `${row.verdict} ${isOpen(row) ? 'is-chosen' : ''}`}
            empty=${whyEmpty()}
          />`
    }
  <//>`;
}

const isOpen = (row) => opened.value?.kind === 'candidate' && opened.value.id === row.id;

function whyEmpty() {
  const { symbol, verdict, reason, source } = filter.value;
  return symbol || verdict || reason || source
    ? 'No candidate fits this filter.'
    : 'No candidate yet: no name has moved far enough, with enough volume.';
}

/** Reasons seen so far, for the filter: those in the moment's alarm of the day and those of the rows that are here. */
function useReasons(rows) {
  const known = useRef(new Set());
  for (const row of rows?.slice(0, 2000) ?? []) if (row.reason && row.verdict !== 'passed') known.current.add(row.reason);
  if (filter.value.reason) known.current.add(filter.value.reason);
  return [...known.current].sort();
}

function Filter({ reasons }) {
  const set = (name) => (event) => {
    filter.value = { ...filter.value, [name]: event.currentTarget.value };
  };
  const { symbol, verdict, reason } = filter.value;
  const isOn = symbol || verdict || reason || filter.value.source;
  return html`<div class="filters">
    <label
      ><span class="sr">Instrument</span
      ><input
        list="symbols"
        type="search"
        placeholder="Symbol"
        value=${symbol}
        onInput=${set('symbol')}
        aria-label="Filter by instrument"
    /></label>
    <label
      ><span class="sr">Verdict</span
      ><select value=${verdict} onChange=${set('verdict')} aria-label="Filter by verdict">
        <option value="">All verdicts</option>
        ${['passed', 'refused', 'watched'].map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label
    >
    <label
      ><span class="sr">Reason</span
      ><select value=${reason} onChange=${set('reason')} aria-label="Filter by reason">
        <option value="">All reasons</option>
        ${reasons.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label
    >
    ${
      isOn &&
      html`<button
        class="link"
        onClick=${() => {
          filter.value = { symbol: '', verdict: '', reason: '', source: '' };
        }}
      >
        Clear
      </button>`
    }
  </div>`;
}

const COLUMNS = [
  { key: 'time', label: 'Time', width: '76px', render: (row) => html`<span class="num">${clock(row.t_us)}</span>` },
  {
    key: 'symbol',
    label: 'Symbol',
    width: 'minmax(112px, 1.2fr)',
    render: (row) => html`<${Direction} sign=${row.side}><b>${row.symbol}</b><//>`,
  },
  { key: 'price', label: 'Price', width: '86px', align: 'right', min: 500, render: (row) => rupees(row.price) },
  { key: 'strength', label: 'Strength', width: '70px', align: 'right', min: 620, render: (row) => fixed(row.strength) },
  { key: 'volume', label: 'Vol ×', width: '54px', align: 'right', min: 680, render: (row) => fixed(row.volume_ratio, 1) },
  { key: 'score', label: 'Score', width: '54px', align: 'right', render: (row) => fixed(row.score) },
  { key: 'verdict', label: 'Verdict', width: '90px', render: (row) => html`<${Verdict} of=${row.gate ? 'gated' : row.verdict} />` },
  {
    key: 'reason',
    label: 'Refused by',
    width: 'minmax(104px, 1.4fr)',
    min: 400,
    render: (row) =>
      row.gate ? row.gate : row.verdict === 'passed' ? html`<span class="faint">–</span>` : row.reason,
  },
  {
    key: 'by',
    label: 'Measured / limit',
    width: '124px',
    align: 'right',
    min: 760,
    render: (row) => (row.measured == null || row.verdict === 'passed' ? '' : `${figure(row.measured)} / ${figure(row.limit)}`),
  },
];
