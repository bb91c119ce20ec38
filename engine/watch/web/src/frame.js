// Reads packed frames into columns over instruments. Nothing is allocated per row.
import { HEADER, ROW } from './frame_layout.js';

const MAGIC = 0x314b5053; // "SPK1"
export const POSITION = 1,
  CANDIDATE = 2,
  PASSED = 4,
  STALE = 8,
  WORKING = 16,
  PENDING = 32;
export const NO_SCORE = 255;
const read = (view, base, [offset, type]) => view[`get${type}`](base + offset, true);

/** The market as the page knows it: a column a field, by instrument number. */
export class Board {
  constructor(count) {
    this.count = count;
    this.price = new Int32Array(count);
    this.move = new Int16Array(count);
    this.volume = new Uint16Array(count);
    this.score = new Uint8Array(count).fill(NO_SCORE);
    this.flags = new Uint8Array(count);
    this.known = new Uint8Array(count);
    this.flared = new Float64Array(count);
    this.changed = new Uint16Array(count);
    this.changes = 0;
    this.sequence = 0;
    this.epoch = 0;
    this.run = 0;
    this.now = 0;
    this.wall = 0;
    this.missed = 0;
    this.listeners = new Set();
  }

  /** Takes one frame; `when` is the page's clock (ms). False where it is no frame of ours or has more rows than instruments. */
  take(buffer, when) {
    const view = new DataView(buffer);
    if (buffer.byteLength < HEADER.size) return false;
    const head = HEADER.fields;
    if (read(view, 0, head.magic) !== MAGIC) return false;
    const rows = read(view, 0, head.rows);
    if (buffer.byteLength < HEADER.size + rows * ROW.size) return false;
    const sequence = read(view, 0, head.sequence),
      isKey = read(view, 0, head.kind) === 1;
    if (this.sequence && !isKey && sequence !== (this.sequence + 1) >>> 0) this.missed++;
    this.sequence = sequence;
    this.run = read(view, 0, head.run);
    this.epoch = read(view, 0, head.epoch);
    this.now = Number(read(view, 0, head.now));
    this.wall = Number(read(view, 0, head.wall));
    this.changes = 0;
    this._rows(view, rows, when);
    for (const listener of this.listeners) listener(this);
    return true;
  }

  _rows(view, rows, when) {
    const at = ROW.fields,
      size = ROW.size,
      inst = at.inst[0],
      flags = at.flags[0],
      score = at.score[0],
      price = at.price[0],
      move = at.move[0],
      volume = at.volume[0];
    for (let k = 0, base = HEADER.size; k < rows; k++, base += size) {
      const i = view.getUint16(base + inst, true);
      if (i >= this.count) continue;
      const bits = view.getUint8(base + flags);
      this.mark(i, bits, when);
      this.score[i] = view.getUint8(base + score);
      this.price[i] = view.getInt32(base + price, true);
      this.move[i] = view.getInt16(base + move, true);
      this.volume[i] = view.getUint16(base + volume, true);
      this.known[i] = 1;
      this.changed[this.changes++] = i;
    }
  }

  /** A candidate that was not there before flares from now on. */
  mark(i, bits, when) {
    const fresh = bits & ~this.flags[i] & (CANDIDATE | PASSED);
    if (fresh && this.known[i]) this.flared[i] = when;
    this.flags[i] = bits;
  }

  /** The columns of /api/moment (a moment of the time machine): all rows at once. */
  fill(moment) {
    const { ltp, move, minute_volume: volume, expected } = moment.quotes;
    const held = new Set(moment.positions.map((row) => row.inst));
    const score = moment.quotes.score;
    for (let i = 0; i < this.count; i++) {
      this.price[i] = ltp[i] ?? 0;
      this.move[i] = Math.max(-32768, Math.min(32767, Math.round((move[i] ?? 0) * 1e4)));
      this.volume[i] = expected[i] > 0 ? Math.min(65535, Math.round(((volume[i] ?? 0) / expected[i]) * 100)) : 0;
      this.score[i] = score && score[i] != null ? Math.round(score[i] * 200) : NO_SCORE;
      this.flags[i] = held.has(i) ? POSITION : 0;
      this.known[i] = ltp[i] ? 1 : 0;
    }
    for (const row of moment.candidates.last) {
      if (moment.now_us - row.t_us > 5_000_000) continue;
      this.flags[row.inst] |= CANDIDATE | (row.verdict === 'passed' ? PASSED : 0);
    }
    this.now = moment.now_us;
    this.changes = this.count;
    for (let i = 0; i < this.count; i++) this.changed[i] = i;
    for (const listener of this.listeners) listener(this);
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
