// Histograms, bars and heat maps as SVG and tables: few marks, sharp at any size, readable by a screen reader.
import { html } from 'htm/preact';

/** Bars over `edges` (counts.length + 1 of them). `mark` is a value to point at; `of` writes an edge. */
export function Histogram({ label, edges, counts, of, marks = [], height = 96, isLog = false, signed = false }) {
  const first = counts.findIndex(Boolean),
    last = counts.findLastIndex(Boolean);
  if (first < 0) return html`<p class="empty">Nothing measured yet.</p>`;
  const from = Math.max(0, first - 1),
    to = Math.min(counts.length, last + 2);
  const shown = counts.slice(from, to),
    cut = edges.slice(from, to + 1),
    most = Math.max(...shown);
  const size = (n) => (isLog ? Math.log1p(n) / Math.log1p(most) : n / most);
  const x = (value) => {
    let k = 0;
    while (k < cut.length - 2 && value >= cut[k + 1]) k++;
    const [a, b] = [cut[k], cut[k + 1]];
    const inside = b > a ? Math.max(0, Math.min(1, (value - a) / (b - a))) : 0.5;
    return ((k + inside) / shown.length) * 100;
  };
  const known = marks.filter(([, value]) => value != null);
  const total = counts.reduce((a, b) => a + b, 0);
  return html`<figure class="histogram">
    <svg
      viewBox=${`0 0 100 ${height}`}
      preserveAspectRatio="none"
      role="img"
      height=${height}
      aria-label=${`${label}: ${total} values from ${of(cut[0])} to ${of(cut.at(-1))}`}
    >
      ${shown.map(
        (n, k) =>
          html`<rect
            key=${k}
            class=${signed ? (cut[k] + cut[k + 1] < 0 ? 'bar down' : 'bar up') : 'bar'}
            x=${(k / shown.length) * 100 + 0.15}
            width=${Math.max(0.2, 100 / shown.length - 0.3)}
            y=${height - size(n) * (height - 6)}
            height=${size(n) * (height - 6)}
            ><title>${of(cut[k])} to ${of(cut[k + 1])}: ${n}</title></rect
          >`,
      )}
      ${known.map(
        ([name, value]) => html`<line key=${name} class="mark-line" x1=${x(value)} x2=${x(value)} y1="0" y2=${height} />`,
      )}
    </svg>
    <figcaption>
      <span>${of(cut[0])}</span>
      ${known.map(([name, value]) => html`<span class="mark-name" key=${name}>${name} ${of(value)}</span>`)}
      <span>${of(cut.at(-1))}</span>
    </figcaption>
  </figure>`;
}

/** Values put into `bins` equal bins; with zero among the edges where both signs are there. */
export function binned(values, bins = 24) {
  const known = values.filter((value) => value != null && Number.isFinite(value));
  if (!known.length) return { edges: [0, 1], counts: [0] };
  let low = Math.min(...known),
    high = Math.max(...known);
  if (low === high) [low, high] = [low - 1, high + 1];
  let width = (high - low) / bins;
  if (low < 0 && high > 0) low = Math.floor(low / width) * width;
  const edges = [],
    counts = [];
  for (let edge = low; edge < high + width / 2 || edges.length < 2; edge += width) edges.push(edge);
  for (let k = 0; k < edges.length - 1; k++) counts.push(0);
  for (const value of known) counts[Math.max(0, Math.min(counts.length - 1, Math.floor((value - low) / width)))]++;
  return { edges, counts };
}

/** A table whose cells are coloured by sign and size; the number stands in each. `cell(r, c)` gives a value or null. */
export function HeatMap({ label, rows, columns, cell, of, title }) {
  let most = 0;
  rows.forEach((_, r) =>
    columns.forEach((__, c) => {
      most = Math.max(most, Math.abs(cell(r, c) ?? 0));
    }),
  );
  return html`<div class="heat-wrap" tabindex="0" role="region" aria-label=${label}>
    <table class="heat">
      <thead>
        <tr>
          <td></td>
          ${columns.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (name, r) =>
            html`<tr key=${name}>
              <th scope="row">${name}</th>
              ${columns.map((_, c) => {
                const value = cell(r, c);
                const share = value == null || !most ? 0 : Math.min(1, Math.abs(value) / most);
                const step = value == null ? 'none' : `${value < 0 ? 'down' : 'up'}-${Math.ceil(share * 5)}`;
                return html`<td key=${c} class=${`heat-${step}`} title=${title?.(r, c)}>${value == null ? '' : of(value)}</td>`;
              })}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** Bars of two series a day, one beside the other; signed. */
export function PairBars({ label, names, a, b, height = 150, of, titles }) {
  const most = Math.max(1, ...a.concat(b).map((value) => Math.abs(value ?? 0)));
  const n = names.length,
    half = height / 2;
  const bar = (value, k, which) => {
    if (value == null) return null;
    const size = (Math.abs(value) / most) * (half - 4);
    return html`<rect
      key=${`${which}${k}`}
      class=${`pair-${which}`}
      x=${((k + (which === 'a' ? 0.12 : 0.52)) / n) * 100}
      width=${(0.36 / n) * 100}
      y=${value >= 0 ? half - size : half}
      height=${Math.max(0.5, size)}
      ><title>${names[k]} ${titles[which]}: ${of(value)}</title></rect
    >`;
  };
  return html`<figure class="histogram">
    <svg viewBox=${`0 0 100 ${height}`} preserveAspectRatio="none" height=${height} role="img" aria-label=${label}>
      <line class="zero" x1="0" x2="100" y1=${half} y2=${half} />
      ${names.map((_, k) => [bar(a[k], k, 'a'), bar(b[k], k, 'b')])}
    </svg>
    <figcaption><span>${names[0]}</span><span>largest ${of(most)}</span><span>${names.at(-1)}</span></figcaption>
  </figure>`;
}
