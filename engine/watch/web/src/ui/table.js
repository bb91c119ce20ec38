// A table that draws only the rows in sight: 10,000 rows scroll like ten. Sorting and the active row work by keyboard.
import { pref } from '../prefs.js';
import { Empty } from './parts.js';
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from './html.js';

const SPARE = 8;
const rowHeight = () => (matchMedia('(pointer: coarse)').matches ? 36 : 25);

/** Columns: {key, label, width, min (px of the table below which it is left out), align, render(row), sort(row)}. `rows` is an
 * array, or `source` is {total, at(i), need(from, to)} for rows that come by pages (the order is then the server's). */
export function VTable({ name, label, columns, rows, source, rowKey, onOpen, rowClass, empty, anchor }) {
  const scroller = useRef(null);
  const [box, setBox] = useState({ width: 0, height: 0 });
  const [top, setTop] = useState(0);
  const active = useRef(-1);
  const [, redraw] = useState(0);
  const order = pref(`sort.${name}`, null);
  const height = useMemo(rowHeight, []);
  const shown = useMemo(() => fitting(columns, box.width), [columns, box.width]);
  const sorted = useSorted(rows, columns, order.value);
  const total = source ? source.total : sorted.length;
  const at = source ? source.at : (i) => sorted[i];

  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setBox({ width: entry.contentRect.width, height: entry.contentRect.height }));
    watcher.observe(scroller.current);
    return () => watcher.disconnect();
  }, []);
  // rows that come in above must not push away what is read
  const before = useRef(anchor);
  useLayoutEffect(() => {
    const grown = (anchor ?? 0) - (before.current ?? 0);
    before.current = anchor;
    if (grown > 0 && scroller.current.scrollTop > height) scroller.current.scrollTop += grown * height;
    if (grown > 0 && active.current >= 0) active.current += grown;
  }, [anchor]);

  const from = Math.max(0, Math.floor(top / height) - SPARE);
  const to = Math.min(total, Math.ceil((top + box.height) / height) + SPARE);
  useEffect(() => {
    source?.need(from, to);
  });

  const choose = (i) => {
    active.current = Math.max(0, Math.min(total - 1, i));
    const y = active.current * height,
      body = scroller.current,
      head = height;
    if (y < body.scrollTop) body.scrollTop = y;
    else if (y + height + head > body.scrollTop + body.clientHeight) body.scrollTop = y + height + head - body.clientHeight;
    redraw((n) => n + 1);
  };
  const onKeyDown = (event) => {
    if (event.target !== scroller.current) return;
    const page = Math.max(1, Math.floor(box.height / height) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (step) choose(active.current + step);
    else if (event.key === 'Home') choose(0);
    else if (event.key === 'End') choose(total - 1);
    else if (event.key === 'Enter' && active.current >= 0 && at(active.current)) onOpen?.(at(active.current));
    else return;
    event.preventDefault();
  };
  const classOf = (i, row) =>
    ['vt-row', i % 2 && 'odd', i === active.current && 'is-active', row ? rowClass?.(row) : 'is-loading'].filter(Boolean).join(' ');
  const template = shown.map((column) => column.width).join(' ');
  const slice = [];
  for (let i = from; i < to; i++) slice.push([i, at(i)]);
  return html`<div
    class="vt"
    role="grid"
    aria-label=${label}
    aria-rowcount=${total + 1}
    aria-colcount=${shown.length}
    tabindex="0"
    ref=${scroller}
    onScroll=${(event) => setTop(event.currentTarget.scrollTop)}
    onKeyDown=${onKeyDown}
    data-table=${name}
    aria-activedescendant=${active.current >= from && active.current < to ? `${name}-${active.current}` : undefined}
  >
    <div class="vt-head" role="rowgroup">
      <div role="row" class="vt-row" style=${{ gridTemplateColumns: template, height: `${height}px` }}>
        ${shown.map((column) => html`<${Head} key=${column.key} column=${column} order=${order} canSort=${!source} />`)}
      </div>
    </div>
    <div class="vt-body" role="rowgroup" style=${{ height: `${total * height}px` }}>
      ${slice.map(
        ([i, row]) =>
          html`<div
            role="row"
            key=${row ? rowKey(row) : `#${i}`}
            id=${`${name}-${i}`}
            aria-rowindex=${i + 2}
            aria-selected=${i === active.current}
            class=${classOf(i, row)}
            style=${{ gridTemplateColumns: template, height: `${height}px`, transform: `translateY(${i * height}px)` }}
            onClick=${
              row &&
              (() => {
                active.current = i;
                redraw((n) => n + 1);
                onOpen?.(row);
              })
            }
          >
            ${shown.map(
              (column) =>
                html`<div role="gridcell" key=${column.key} class=${`vt-cell ${column.align ?? ''}`}>
                  ${row ? column.render(row) : html`<span class="bone"></span>`}
                </div>`,
            )}
          </div>`,
      )}
    </div>
    ${total === 0 && html`<div class="vt-empty"><${Empty}>${empty}<//></div>`}
  </div>`;
}

const least = ({ width }) => Number(/(\d+)px/.exec(width)?.[1] ?? 40);
/** The columns there is room for: those with the largest `min` go first. */
function fitting(columns, width) {
  const shown = columns.filter((column) => !column.min || width >= column.min);
  for (let sum = shown.reduce((all, column) => all + least(column), 14); sum > width && width;) {
    const last = shown.reduce((worst, column) => ((column.min ?? 0) > (worst?.min ?? 0) ? column : worst), null);
    if (!last) break;
    shown.splice(shown.indexOf(last), 1);
    sum -= least(last);
  }
  return shown;
}

function Head({ column, order, canSort }) {
  const is = order.value?.key === column.key ? order.value.direction : 0;
  const next = () => {
    order.value = is === 0 ? { key: column.key, direction: -1 } : is < 0 ? { key: column.key, direction: 1 } : null;
  };
  return html`<div
    role="columnheader"
    class=${`vt-cell ${column.align ?? ''}`}
    title=${column.title}
    aria-sort=${canSort && column.sort ? (is > 0 ? 'ascending' : is < 0 ? 'descending' : 'none') : undefined}
  >
    ${
      canSort && column.sort
        ? html`<button tabindex="-1" onClick=${next}>
            ${column.label}<span class="sort-mark" aria-hidden="true"> ${is > 0 ? '▴' : is < 0 ? '▾' : ''}</span>
          </button>`
        : column.label
    }
  </div>`;
}

function useSorted(rows, columns, order) {
  return useMemo(() => {
    if (!rows) return [];
    const column = order && columns.find(({ key }) => key === order.key);
    if (!column?.sort) return rows;
    const value = column.sort,
      { direction } = order;
    return [...rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x == null || y == null) return x == null ? (y == null ? 0 : 1) : -1; // unknown always last
      return direction * (x < y ? -1 : x > y ? 1 : 0);
    });
  }, [rows, order]);
}
