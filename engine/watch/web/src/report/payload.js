// The data of the file: a header of JSON, and blocks of columns that are unpacked when they are first asked for. The Python side of
// the same is engine/report/payload.py.
const VERSION = 1;
const known = new Map();

/** The header. Throws in words where the file is of another version. */
export function header() {
  const found = JSON.parse(document.getElementById('header').textContent);
  if (found.format !== 'spike-report' || found.version !== VERSION) throw new Error(`it is of version ${found.version}, this page reads ${VERSION}`);
  return found;
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), out = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) out[k] = letters.charCodeAt(k);
  return out;
}

/** The columns of a block by name, and `rows`. A column of words is {codes, words}. */
export function block(head, name) {
  if (!known.has(name)) known.set(name, unpack(head.blocks[name], name));
  return known.get(name);
}

async function unpack(described, name) {
  const element = document.getElementById(`block-${name}`);
  const stream = new Blob([bytesOf(element.textContent.trim())]).stream().pipeThrough(new DecompressionStream('gzip'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  element.remove();                                        // a page that holds each figure twice is twice as large
  if (bytes.length !== described.size) throw new Error(`${name} has ${bytes.length} bytes of ${described.size}`);
  const out = { rows: described.rows };
  let at = 0;
  for (const column of described.columns) {
    const count = column.count ?? described.rows;
    const raw = bytes.subarray(at, at + count * column.width);
    at += count * column.width;
    const values = column.is === 'bytes' ? raw : column.is === 'real' ? reals(raw, count) : wholes(raw, count, column);
    out[column.name] = column.words ? { codes: values, words: column.words } : values;
  }
  return out;
}

function reals(raw, count) {
  const out = new Float32Array(count), inside = new Uint8Array(out.buffer);
  for (let plane = 0; plane < 4; plane++) for (let k = 0; k < count; k++) inside[4 * k + plane] = raw[plane * count + k];
  return out;
}

function wholes(raw, count, { width, is, first }) {
  const isDelta = is === 'delta', out = isDelta ? new Float64Array(count) : new Int32Array(count);
  let sum = first ?? 0;
  for (let k = 0; k < count; k++) {
    let folded = 0;
    for (let plane = 0; plane < width; plane++) folded |= raw[plane * count + k] << 8 * plane;
    const value = (folded >>> 1) ^ -(folded & 1);
    out[k] = isDelta ? (sum += value) : value;
  }
  return out;
}

/** The candles of a window, prices in paise, times in s. */
export async function candlesOf(head, window) {
  const [windows, candles] = await Promise.all([block(head, 'windows'), block(head, 'candles')]);
  if (!windows.starts) {
    windows.starts = new Float64Array(windows.rows);
    for (let k = 1; k < windows.rows; k++) windows.starts[k] = windows.starts[k - 1] + windows.rows_of[k - 1];
  }
  const count = windows.rows_of[window], begin = windows.starts[window], step = windows.step[window], base = windows.base[window];
  const minutes = windows.minutes[window], out = { t: [], o: [], h: [], l: [], c: [], minutes };
  let close = 0, time = windows.begin[window] - 60 * minutes;
  for (let k = begin; k < begin + count; k++) {
    const open = close + candles.gap[k];
    close = open + candles.body[k];
    time += 60 * minutes * (1 + candles.skip[k]);
    out.t.push(time);
    out.o.push(base + step * open);
    out.c.push(base + step * close);
    out.h.push(base + step * (Math.max(open, close) + candles.up[k]));
    out.l.push(base + step * (Math.min(open, close) - candles.down[k]));
  }
  return out;
}
