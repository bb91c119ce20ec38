// Where each instrument's cell lies: a plain grid, or a block a sector whose area is its number of names.
const GAP = 1,
  HEAD = 14,
  BLOCK_GAP = 4;

/** Rows for `n` cells nearly `aspect` times as wide as high. */
function rowsOf(n, width, height, aspect) {
  const columns = Math.max(1, Math.min(n, Math.round(Math.sqrt((n * width) / height / aspect))));
  return Math.ceil(n / columns);
}

function place(cells, list, x, y, width, height) {
  const rows = rowsOf(list.length, width, height, 1.9);
  for (let k = 0; k < list.length; k++) {
    const r = Math.floor((k * rows) / list.length); // rows differ by one cell at most, none is left open
    const first = Math.ceil((r * list.length) / rows),
      columns = Math.ceil(((r + 1) * list.length) / rows) - first,
      c = k - first;
    const left = Math.round(x + (c * width) / columns),
      right = Math.round(x + ((c + 1) * width) / columns);
    const upper = Math.round(y + (r * height) / rows),
      lower = Math.round(y + ((r + 1) * height) / rows);
    const i = list[k];
    const gap = right - left > 5 ? GAP : 0;
    cells.x[i] = left;
    cells.y[i] = upper;
    cells.w[i] = Math.max(1, right - left - gap);
    cells.h[i] = Math.max(1, lower - upper - gap);
  }
}

/** Blocks whose areas are as `sizes`, nearly square, filling the box: rows are laid along the shorter side. */
export function blocks(sizes, width, height) {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const scale = (width * height) / total;
  const out = [];
  let left = 0,
    top = 0,
    w = width,
    h = height,
    at = 0;
  while (at < sizes.length) {
    const short = Math.min(w, h);
    let end = at + 1,
      best = Infinity;
    for (let n = at + 1; n <= sizes.length; n++) {
      const areas = sizes.slice(at, n).map((size) => size * scale);
      const sum = areas.reduce((a, b) => a + b, 0);
      const worst = Math.max(
        ...areas.map((area) => {
          const long = area / (sum / short),
            across = sum / short;
          return Math.max(long / across, across / long);
        }),
      );
      if (worst > best) break;
      best = worst;
      end = n;
    }
    const sum = sizes.slice(at, end).reduce((a, b) => a + b, 0) * scale;
    const across = sum / short;
    let along = 0;
    for (let n = at; n < end; n++) {
      const length = (sizes[n] * scale) / across;
      out.push(w >= h ? [left, top + along, across, length] : [left + along, top, length, across]);
      along += length;
    }
    if (w >= h) {
      left += across;
      w -= across;
    } else {
      top += across;
      h -= across;
    }
    at = end;
  }
  return out;
}

/** {x, y, w, h by instrument (0 wide: not shown), order: instruments in reading order, labels: [{text, x, y, w}]}. */
export function layout(instruments, shown, width, height, bySector) {
  const count = instruments.count;
  const cells = { x: new Int16Array(count), y: new Int16Array(count), w: new Int16Array(count), h: new Int16Array(count) };
  const labels = [];
  if (!shown.length || width < 20 || height < 20) return { ...cells, order: [], labels };
  if (!bySector) {
    place(cells, shown, 0, 0, width, height);
    return { ...cells, order: shown, labels };
  }
  const groups = new Map();
  for (const i of shown) {
    const name = instruments.sector[i] || 'No sector';
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(i);
  }
  const sorted = [...groups].sort((a, b) => b[1].length - a[1].length || (a[0] < b[0] ? -1 : 1));
  const order = [];
  blocks(
    sorted.map(([, list]) => list.length),
    width,
    height,
  ).forEach(([x, y, w, h], k) => {
    const [name, list] = sorted[k];
    const head = h > 34 && w > 34 ? HEAD : 0;
    if (head) labels.push({ text: name, x: Math.round(x) + 2, y: Math.round(y), w: w - BLOCK_GAP - 2 });
    place(cells, list, x, y + head, w - BLOCK_GAP, h - head - BLOCK_GAP);
    order.push(...list);
  });
  return { ...cells, order, labels };
}

/** The instrument at a point, -1 where there is none. */
export function hit(cells, x, y) {
  for (const i of cells.order) {
    if (x >= cells.x[i] && x < cells.x[i] + cells.w[i] + 1 && y >= cells.y[i] && y < cells.y[i] + cells.h[i] + 1) return i;
  }
  return -1;
}

/** The neighbour in a direction: the nearest cell whose middle lies that way. */
export function neighbour(cells, from, dx, dy) {
  const cx = cells.x[from] + cells.w[from] / 2,
    cy = cells.y[from] + cells.h[from] / 2;
  let best = -1,
    least = Infinity;
  for (const i of cells.order) {
    if (i === from) continue;
    const x = cells.x[i] + cells.w[i] / 2 - cx,
      y = cells.y[i] + cells.h[i] / 2 - cy;
    const along = x * dx + y * dy,
      across = Math.abs(x * dy) + Math.abs(y * dx);
    if (along < 1) continue;
    const far = along + 3 * across;
    if (far < least) {
      least = far;
      best = i;
    }
  }
  return best < 0 ? from : best;
}
