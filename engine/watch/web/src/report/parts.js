// What the sections share: a section that is drawn when it comes near, a canvas, intervals, tiles.
import { Empty, Skeleton } from '../ui/parts.js';
import { html, useEffect, useLayoutEffect, useRef, useState } from '../ui/html.js';
import { shade } from '../prefs.js';
import { NONE, clock, day } from '../format.js';

const NEAR = '600px 0px';

/** A section whose content is made when it comes near the window, and then stays. */
export function Section({ id, title, lead, children, height = 220, note }) {
  const box = useRef(null);
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    const watcher = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        setNear(true);
        watcher.disconnect();
      }
    }, { rootMargin: NEAR });
    watcher.observe(box.current);
    const all = () => setNear(true);                       // on paper everything is near
    addEventListener('beforeprint', all);
    return () => { watcher.disconnect(); removeEventListener('beforeprint', all); };
  }, []);
  return html`<section id=${id} class="part" ref=${box} aria-labelledby=${`${id}-title`} data-drawn=${isNear}>
    <div class="part-head"><h2 id=${`${id}-title`}>${title}</h2>${note && html`<span class="panel-note">${note}</span>`}</div>
    ${lead && html`<p class="lead">${lead}</p>`}
    ${isNear ? children() : html`<div style=${{ minHeight: `${height}px` }}></div>`}
  </section>`;
}

/** What a promise brings: a skeleton, what went wrong, or its children. */
export function Later({ of, children, rows = 4 }) {
  const [state, setState] = useState({});
  useEffect(() => {
    let isOver = false;
    of().then((value) => { if (!isOver) setState({ value }); }, (error) => { if (!isOver) setState({ error }); });
    return () => { isOver = true; };
  }, []);
  if (state.error) return html`<${Empty} kind="error">This part of the file cannot be read: ${state.error.message}.<//>`;
  return state.value ? children(state.value) : html`<${Skeleton} rows=${rows} />`;
}

/** A chart on a canvas, made anew when the theme changes. `label` says in words what it shows. */
export function Canvas({ make, label, height = 240 }) {
  const box = useRef(null);
  const theme = shade.value;
  useLayoutEffect(() => {
    const chart = make(box.current);
    return () => chart.destroy();
  }, [make, theme]);
  return html`<div class="canvas" ref=${box} role="img" aria-label=${label} style=${{ height: `${height}px` }}></div>`;
}

/** How the moment (s) of a row is written, and how wide: the day is left out where there is one, the year where it is plain. */
export function moments(days) {
  if (days.length < 2) return { width: '74px', write: (s) => clock(s * 1e6) };
  const isPlain = Date.parse(days.at(-1)) - Date.parse(days[0]) < 330 * 86_400_000;
  return { width: isPlain ? '122px' : '168px', write: (s) => `${isPlain ? day(s * 1e6).slice(0, -5) : day(s * 1e6)} ${clock(s * 1e6)}` };
}

/** `[low, high]` in words. */
export const between = (interval, of) => (interval ? `${of(interval[0])} to ${of(interval[1])}` : NONE);

/** A few figures, large, each with its interval or what it is made of. */
export const Tiles = ({ rows }) => html`<dl class="tiles">${rows.filter(Boolean).map(([name, value, more, kind]) => html`
  <div key=${name}><dt>${name}</dt><dd class=${`num tile-value ${kind ?? ''}`}>${value}</dd>
    ${more && html`<dd class="tile-more num">${more}</dd>`}</div>`)}</dl>`;

/** A figure and its interval on a common scale, with zero marked. */
export function Whisker({ value, interval, low, high }) {
  if (value == null) return html`<span class="faint">${NONE}</span>`;
  const x = (v) => Math.max(0, Math.min(100, (v - low) / (high - low || 1) * 100));
  return html`<svg class="whisker" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
    ${low < 0 && high > 0 && html`<line class="zero" x1=${x(0)} x2=${x(0)} y1="0" y2="14" />`}
    ${interval && html`<line class="reach" x1=${x(interval[0])} x2=${x(interval[1])} y1="7" y2="7" />`}
    <rect class=${value < 0 ? 'down' : 'up'} x=${x(value) - 0.9} width="1.8" y="2" height="10" /></svg>`;
}
