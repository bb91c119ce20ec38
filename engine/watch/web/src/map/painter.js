// Paints the map: only cells that changed, sorted by colour, in animation frames. Nothing is allocated while it runs.
import { CANDIDATE, PASSED, PENDING, POSITION, STALE, WORKING } from '../frame.js';
import { token } from '../prefs.js';
import { LEVELS, level, palette } from './colours.js';

const SIZES = [11, 10, 9, 8]; // px of names, the largest that fits
const FLARE_MS = 1400,
  COLOURS = LEVELS + 1;
const LABEL_W = 30,
  LABEL_H = 14,
  VALUE_H = 28;
/** Where each ramp ends; that of the move follows the market. */
export const FULL = { move: 200, volume: 300, score: 200 };
const STEPS = [50, 100, 200, 300, 500, 1000]; // basis points

/** The step that nine of ten moves lie within; `now` is kept until it is clearly too large or too small. */
export function rangeOf(board, shown, now) {
  const sizes = shown.filter((i) => board.known[i]).map((i) => Math.abs(board.move[i]));
  if (sizes.length < 5) return now;
  sizes.sort((a, b) => a - b);
  const most = sizes[Math.floor(sizes.length * 0.9)];
  if (most > now * 0.35 && most <= now * 1.1) return now;
  return STEPS.find((step) => most <= step) ?? STEPS.at(-1);
}

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d', { alpha: false });
    this.board = null;
    this.cells = null;
    this.metric = 'move';
    this.names = [];
    this.focus = -1;
    this.chosen = -1;
    this.calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.fonts = SIZES.map((size) => this._font(size));
    this.frame = 0;
    this.stop = null;
    this.run = () => this.paint();
    this.cost = { frames: 0, ms: 0, longest: 0 };
  }

  attach(board, count) {
    this.stop?.();
    this.board = board;
    if (this.isDirty?.length !== count) {
      this.isDirty = new Uint8Array(count);
      this.dirty = new Uint16Array(count);
      this.bucket = new Uint16Array(count);
      this.drawn = new Int32Array(count).fill(-1);
      this.shown = new Int32Array(count);
      this.levels = new Uint8Array(count);
      this.starts = new Uint16Array(COLOURS + 1);
      this.flaring = new Uint16Array(count);
      this.inFlare = new Uint8Array(count);
    }
    this.dirtyCount = 0;
    this.flares = 0;
    this.isDirty.fill(0);
    this.inFlare.fill(0);
    this.stop = board.listen(() => this._heard());
    this.all();
  }

  _heard() {
    const { changed, changes } = this.board;
    for (let k = 0; k < changes; k++) this.touch(changed[k]);
  }

  touch(i) {
    if (this.isDirty[i] || !this.cells || this.cells.w[i] === 0) return;
    this.isDirty[i] = 1;
    this.dirty[this.dirtyCount++] = i;
    this.ask();
  }

  ask() {
    if (!this.frame) this.frame = requestAnimationFrame(this.run);
  }

  detach() {
    this.stop?.();
    this.stop = null;
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  setLayout(cells, names, width, height) {
    const scale = devicePixelRatio || 1;
    this.cells = cells;
    this.names = names;
    this.scale = scale;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.width = width;
    this.height = height;
    this.labels = this._labels();
    this.all();
  }

  setColours() {
    this.tables = palette();
    this.background = token('surface');
    this.inkFaint = token('ink-2');
    this.flare = token('map-flare');
    this.edge = token('map-edge');
    this.all();
  }

  /** Each cell's name cut to its width, once a layout. */
  _labels() {
    const c = this.context,
      { w, h } = this.cells,
      out = new Array(this.names.length).fill('');
    this.sizes = new Uint8Array(this.names.length);
    this.hasValue = new Uint8Array(this.names.length);
    for (const i of this.cells.order) {
      if (w[i] < LABEL_W || h[i] < LABEL_H) continue;
      let text = this.names[i];
      const room = w[i] - 4;
      this.sizes[i] =
        SIZES.findIndex((size) => {
          c.font = this._font(size);
          return c.measureText(text).width <= room;
        }) + 1 || SIZES.length;
      c.font = this.fonts[this.sizes[i] - 1];
      while (text.length > 2 && c.measureText(text).width > room) text = text.slice(0, -1);
      out[i] = text;
      this.hasValue[i] = h[i] >= VALUE_H && c.measureText('−00.00').width <= room ? 1 : 0;
    }
    const some = out.reduce((n, text) => n + (text ? 1 : 0), 0);
    return some * 2 >= this.cells.order.length ? out : out.fill(''); // names on a few cells only would say nothing
  }

  _font = (size) => `600 ${size}px system-ui, "Segoe UI", Roboto, sans-serif`;

  /** Everything again: new layout, theme or metric. */
  all() {
    if (!this.cells || !this.board || !this.tables) return;
    const c = this.context;
    c.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    c.fillStyle = this.background;
    c.fillRect(0, 0, this.width, this.height);
    c.textBaseline = 'alphabetic';
    c.font = this._font(10.5);
    c.fillStyle = this.inkFaint;
    for (const label of this.cells.labels) {
      let text = label.text;
      while (text.length > 3 && c.measureText(text).width > label.w) text = text.slice(0, -1);
      c.fillText(text === label.text ? text : `${text.slice(0, -1)}…`, label.x, label.y + 11);
    }
    this.drawn.fill(-1);
    for (const i of this.cells.order) this.touch(i);
  }

  paint() {
    const begun = performance.now();
    this.frame = 0;
    if (!this.board || !this.cells || !this.tables) return;
    const n = this._sort();
    this._fill(n);
    this._marks(n);
    this._flares(begun);
    const took = performance.now() - begun;
    this.cost.frames++;
    this.cost.ms += took;
    if (took > this.cost.longest) this.cost.longest = took;
  }

  /** Of the dirty cells those that look different now, sorted by colour into `bucket`. */
  _sort() {
    const { board, metric, starts, levels } = this,
      full = FULL[metric];
    starts.fill(0);
    let n = 0;
    for (let k = 0; k < this.dirtyCount; k++) {
      const i = this.dirty[k];
      const at = level(board, i, metric, full);
      const value = this.labels[i]
        ? metric === 'move'
          ? board.move[i]
          : metric === 'volume'
            ? board.volume[i]
            : board.score[i]
        : 0;
      const look = at | (board.flags[i] << 8) | (i === this.focus ? 1 << 16 : 0) | (i === this.chosen ? 1 << 17 : 0);
      if (board.flared[i] && !this.inFlare[i] && performance.now() - board.flared[i] < FLARE_MS && !this.calm) {
        this.inFlare[i] = 1;
        this.flaring[this.flares++] = i;
      }
      if (this.drawn[i] === look && this.shown[i] === value) continue;
      this.drawn[i] = look;
      this.shown[i] = value;
      levels[i] = at;
      this.dirty[n++] = i;
      starts[at + 1]++;
    }
    this.isDirty.fill(0);
    this.dirtyCount = 0;
    for (let k = 0; k < COLOURS; k++) starts[k + 1] += starts[k];
    for (let k = n - 1; k >= 0; k--) {
      // `dirty` still has the n that changed
      const i = this.dirty[k];
      this.bucket[--starts[levels[i] + 1]] = i;
    }
    return n;
  }

  _fill(n) {
    const c = this.context,
      { x, y, w, h } = this.cells,
      table = this.tables[this.metric];
    let colour = -1;
    for (let k = 0; k < n; k++) {
      const i = this.bucket[k];
      if (this.levels[i] !== colour) {
        colour = this.levels[i];
        c.fillStyle = table.fill[colour];
      }
      c.fillRect(x[i], y[i], w[i], h[i]);
    }
  }

  /** Names, numbers and marks of the cells just filled. */
  _marks(n) {
    const c = this.context,
      { x, y, w, h } = this.cells,
      table = this.tables[this.metric],
      { flags } = this.board;
    let size = 0;
    for (let k = 0; k < n; k++) {
      const i = this.bucket[k];
      const ink = table.ink[this.levels[i]];
      if (this.labels[i]) {
        const both = this.hasValue[i];
        if (size !== this.sizes[i]) c.font = this.fonts[(size = this.sizes[i]) - 1];
        c.fillStyle = ink;
        c.fillText(this.labels[i], x[i] + 2, both ? y[i] + h[i] / 2 - 2 : y[i] + h[i] / 2 + 4);
        if (both) c.fillText(this._value(i), x[i] + 2, y[i] + h[i] / 2 + 11);
      }
      if (flags[i]) this._flags(i, flags[i], ink, x[i], y[i], w[i], h[i]);
      if (i === this.chosen || i === this.focus) {
        c.lineWidth = 2;
        c.strokeStyle = this.flare;
        c.strokeRect(x[i] + 1, y[i] + 1, w[i] - 2, h[i] - 2);
        c.lineWidth = 1;
        c.strokeStyle = this.background;
        c.strokeRect(x[i] + 2.5, y[i] + 2.5, w[i] - 5, h[i] - 5);
      }
    }
  }

  _flags(i, flags, ink, x, y, w, h) {
    const c = this.context;
    if (flags & STALE) {
      c.strokeStyle = this.edge;
      c.lineWidth = 1;
      c.beginPath();
      c.moveTo(x, y + h);
      c.lineTo(x + w, y);
      c.stroke();
    }
    if (flags & (CANDIDATE | PASSED)) {
      c.strokeStyle = this.flare;
      c.lineWidth = flags & PASSED ? 3 : 1.5;
      const inset = c.lineWidth / 2;
      c.strokeRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset);
    }
    c.fillStyle = ink;
    const side = Math.min(7, w / 2, h / 2);
    if (flags & POSITION) {
      c.beginPath();
      c.moveTo(x + w - side, y);
      c.lineTo(x + w, y);
      c.lineTo(x + w, y + side);
      c.fill();
    }
    if (flags & (WORKING | PENDING)) c.fillRect(x + w - side / 1.6 - 1, y + h - side / 1.6 - 1, side / 1.6, side / 1.6);
  }

  _value(i) {
    const { board, metric } = this;
    if (metric === 'move') return `${board.move[i] < 0 ? '−' : '+'}${Math.abs(board.move[i] / 100).toFixed(2)}`;
    if (metric === 'volume') return `${(board.volume[i] / 100).toFixed(1)}×`;
    return board.score[i] === 255 ? '–' : (board.score[i] / 200).toFixed(2);
  }

  /** A light over fresh candidates that fades: their cells are drawn again until it has. */
  _flares(now) {
    if (!this.flares) return;
    const c = this.context,
      { x, y, w, h } = this.cells;
    let left = 0;
    for (let k = 0; k < this.flares; k++) {
      const i = this.flaring[k];
      const age = (now - this.board.flared[i]) / FLARE_MS;
      this.drawn[i] = -1;
      if (age >= 1) {
        this.inFlare[i] = 0;
        this.touch(i);
        continue;
      }
      this.flaring[left++] = i;
      this._one(i);
      c.globalAlpha = (1 - age) * (0.35 + 0.35 * Math.abs(Math.cos(age * 9)));
      c.fillStyle = this.flare;
      c.fillRect(x[i], y[i], w[i], h[i]);
      c.globalAlpha = 1;
    }
    this.flares = left;
    this.ask();
  }

  _one(i) {
    this.levels[i] = level(this.board, i, this.metric, FULL[this.metric]);
    this.bucket[0] = i;
    this._fill(1);
    this._marks(1);
  }
}
