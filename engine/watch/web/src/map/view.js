// The map's panel: the canvas with its tooltip, keyboard and legend, or the same data as a table.
import { effect, html, signal, useEffect, useMemo, useRef, useSignal } from '../ui/html.js';
import { Choice, Panel, Skeleton } from '../ui/parts.js';
import { count, rupees } from '../format.js';
import { CANDIDATE, NO_SCORE, PASSED, PENDING, POSITION, STALE, WORKING } from '../frame.js';
import { pref, shade } from '../prefs.js';
import { board, inst, instruments, selected } from '../state.js';
import { InstrumentTable } from './table.js';
import { hit, layout, neighbour } from './layout.js';
import { FULL, Painter, rangeOf } from './painter.js';

const metric = pref('map.metric', 'move');
const grouped = pref('map.sectors', true);
const kind = pref('map.kind', 'equity');
const form = pref('map.form', 'map');
export const mapCost = signal(null);
const RANGE_MS = 5000; // how often the ramp's end follows the market
const KINDS = { equity: 'Stocks', future: 'Futures', option: 'Options', index: 'Indices' };
const range = signal(FULL.move);
const LEGENDS = { volume: ['0', '1.5× expected', '3×'], score: ['0', '0.5', '1'] };

export function shownInstruments(columns, of) {
  const list = [];
  for (let i = 0; i < columns.count; i++) if (of === 'all' || columns.kind[i] === of) list.push(i);
  return list;
}

export function MapPanel() {
  const columns = instruments.value;
  const kinds = useMemo(() => (columns ? Object.keys(KINDS).filter((name) => columns.kind.includes(name)) : []), [columns]);
  const of = kinds.includes(kind.value) ? kind.value : 'all';
  const tools = html` ${
      form.value === 'map' &&
      html`<${Choice}
          label="Colour by"
          value=${metric.value}
          onChoose=${(key) => {
            metric.value = key;
          }}
          options=${[
            ['move', 'Move', 'Since the previous close'],
            ['volume', 'Volume', 'This minute beside what is expected of it'],
            ['score', 'Score', 'The filter’s last score'],
          ]}
        />
        <button
          class=${`toggle ${grouped.value ? 'is-on' : ''}`}
          aria-pressed=${grouped.value}
          onClick=${() => {
            grouped.value = !grouped.value;
          }}
        >
          Sectors
        </button>`
    }
    ${
      kinds.length > 1 &&
      html`<label class="inline"
        ><span class="sr">Kind of instrument</span
        ><select
          value=${of}
          onChange=${(event) => {
            kind.value = event.currentTarget.value;
          }}
        >
          ${kinds.map((name) => html`<option key=${name} value=${name}>${KINDS[name]}</option>`)}
          <option value="all">All kinds</option>
        </select></label
      >`
    }
    <${Choice}
      label="Shown as"
      value=${form.value}
      onChoose=${(key) => {
        form.value = key;
      }}
      options=${[
        ['map', 'Map'],
        ['table', 'Table', 'The same as a table that sorts'],
      ]}
    />`;
  const shown = useMemo(() => (columns ? shownInstruments(columns, of) : []), [columns, of]);
  return html`<${Panel}
    name="map"
    title="Market"
    note=${columns ? `${count(shown.length)} of ${count(columns.count)}` : ''}
    tools=${tools}
    className="map-panel"
  >
    ${
      !columns || !board.value
        ? html`<${Skeleton} rows=${6} />`
        : form.value === 'map'
          ? html`<${MapCanvas} shown=${shown} />`
          : html`<${InstrumentTable} shown=${shown} />`
    }
  <//>`;
}

function MapCanvas({ shown }) {
  const columns = instruments.value,
    now = board.value;
  const canvas = useRef(null),
    frame = useRef(null),
    painter = useRef(null),
    cells = useRef(null);
  const tip = useSignal(null),
    focus = useSignal(-1),
    hasKeys = useSignal(false);
  const arrange = () => {
    if (!frame.current) return;
    const { width, height } = frame.current.getBoundingClientRect();
    cells.current = layout(columns, shown, Math.floor(width), Math.floor(height), grouped.peek());
    painter.current.setLayout(cells.current, columns.symbol, Math.floor(width), Math.floor(height));
  };
  useEffect(() => {
    const p = (painter.current = new Painter(canvas.current));
    mapCost.value = p.cost;
    const stops = [
      effect(() => {
        shade.value;
        requestAnimationFrame(() => p.setColours());
      }),
      effect(() => {
        p.metric = metric.value;
        p.all();
      }),
      effect(() => {
        const i = inst.value,
          was = p.chosen;
        p.chosen = i;
        redraw(p, was, i);
      }),
      effect(() => {
        const i = hasKeys.value ? focus.value : -1,
          was = p.focus;
        p.focus = i;
        redraw(p, was, i);
      }),
    ];
    return () => {
      stops.forEach((stop) => stop());
      p.detach();
    };
  }, []);
  useEffect(() => painter.current.attach(now, columns.count), [now, columns]);
  useEffect(() => {
    const fit = () => {
      const next = rangeOf(now, shown, FULL.move);
      if (next === FULL.move) return;
      FULL.move = range.value = next;
      painter.current.all();
    };
    fit();
    const timer = setInterval(fit, RANGE_MS);
    return () => clearInterval(timer);
  }, [now, shown]);
  useEffect(() => {
    const watcher = new ResizeObserver(arrange);
    watcher.observe(frame.current);
    return () => watcher.disconnect();
  }, [columns, shown, grouped.value]);
  const over = (event) => {
    const area = canvas.current.getBoundingClientRect();
    const i = cells.current ? hit(cells.current, event.clientX - area.left, event.clientY - area.top) : -1;
    tip.value = i < 0 ? null : place(cells.current, i, area);
  };
  const onKeyDown = (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const from = focus.value >= 0 ? focus.value : inst.value >= 0 ? inst.value : cells.current.order[0];
    if (way && from >= 0) focus.value = neighbour(cells.current, from, ...way);
    else if (event.key === 'Home') focus.value = cells.current.order[0];
    else if (event.key === 'End') focus.value = cells.current.order.at(-1);
    else if ((event.key === 'Enter' || event.key === ' ') && from >= 0) selected.value = columns.symbol[from];
    else if (event.key === 'Escape') tip.value = null;
    else return;
    event.preventDefault();
    if (focus.value >= 0 && event.key !== 'Escape')
      tip.value = place(cells.current, focus.value, canvas.current.getBoundingClientRect());
  };
  return html`<div class="map">
    <div
      class="map-frame"
      ref=${frame}
      tabindex="0"
      role="application"
      aria-roledescription="map"
      aria-label=${`Map of ${shown.length} instruments. Arrow keys move, Enter selects. The same data is under Table.`}
      onKeyDown=${onKeyDown}
      onFocus=${() => {
        hasKeys.value = frame.current.matches(':focus-visible');
        if (focus.value < 0) focus.value = inst.value;
      }}
      onBlur=${() => {
        hasKeys.value = false;
        tip.value = null;
      }}
    >
      <canvas
        ref=${canvas}
        onPointerMove=${over}
        onPointerLeave=${() => {
          tip.value = null;
        }}
        onClick=${(event) => {
          over(event);
          if (tip.value) {
            selected.value = columns.symbol[tip.value.i];
            focus.value = tip.value.i;
          }
        }}
      ></canvas>
      ${tip.value && html`<${Tip} at=${tip.value} />`}
    </div>
    <${Legend} />
    <p class="sr" aria-live="polite">${hasKeys.value && tip.value ? spoken(tip.value.i) : ''}</p>
  </div>`;
}

function redraw(painter, was, is) {
  if (!painter.cells) return;
  for (const i of [was, is]) if (i >= 0) painter.touch(i);
}

function place(cells, i, area) {
  const right = cells.x[i] + cells.w[i] + 6,
    width = 190;
  return {
    i,
    left: right + width < area.width ? right : Math.max(0, cells.x[i] - width - 6),
    top: Math.max(0, Math.min(cells.y[i] - 8, area.height - 132)),
  };
}

const MARKS = [
  [POSITION, 'position'],
  [WORKING, 'working order'],
  [PENDING, 'waiting for the next trade'],
  [PASSED, 'passed now'],
  [CANDIDATE, 'candidate now'],
  [STALE, 'gap or stale'],
];
const marks = (flags) => MARKS.filter(([bit]) => flags & bit).map(([, text]) => text);
const move = (bp) => `${bp < 0 ? '−' : '+'}${Math.abs(bp / 100).toFixed(2)} %`;

function spoken(i) {
  const b = board.value,
    c = instruments.value;
  return `${c.symbol[i]}, ${rupees(b.price[i])}, ${move(b.move[i])}${b.flags[i] ? `, ${marks(b.flags[i]).join(', ')}` : ''}`;
}

function Tip({ at }) {
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => {
      tick.value++;
    }, 250);
    return () => clearInterval(timer);
  }, []);
  tick.value;
  const b = board.value,
    c = instruments.value,
    i = at.i;
  return html`<div class="tip" style=${{ left: `${at.left}px`, top: `${at.top}px` }} aria-hidden="true">
    <b>${c.symbol[i]}</b><span class="tip-sector">${c.sector[i] || c.kind[i]}</span>
    <dl>
      <dt>Last</dt>
      <dd>${b.known[i] ? rupees(b.price[i]) : '–'}</dd>
      <dt>Move</dt>
      <dd class=${b.move[i] > 0 ? 'up' : b.move[i] < 0 ? 'down' : ''}>${move(b.move[i])}</dd>
      <dt>Minute volume</dt>
      <dd>${(b.volume[i] / 100).toFixed(2)}× expected</dd>
      <dt>Score</dt>
      <dd>${b.score[i] === NO_SCORE ? 'none' : (b.score[i] / 200).toFixed(3)}</dd>
    </dl>
    ${marks(b.flags[i]).map((text) => html`<span class="chip" key=${text}>${text}</span>`)}
  </div>`;
}

function Legend() {
  const side = `${range.value / 100} %`;
  const [low, middle, high] = LEGENDS[metric.value] ?? [`−${side}`, '0', `+${side}`];
  return html`<div class="legend">
    <span>${low}</span><span class=${`ramp ${metric.value}`} aria-hidden="true"></span><span>${high}</span>
    <span class="legend-middle">middle ${middle}</span>
    <span class="legend-marks"
      ><span class="mark candidate" aria-hidden="true"></span>candidate <span class="mark passed" aria-hidden="true"></span>passed
      <span class="mark position" aria-hidden="true"></span>position <span class="mark order" aria-hidden="true"></span>order
      <span class="mark gap" aria-hidden="true"></span>gap</span
    >
  </div>`;
}
