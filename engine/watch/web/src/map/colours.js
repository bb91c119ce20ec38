// What colour a number has on the map: blue up and orange down from a neutral middle, one violet ramp for volume and score.
import { token } from '../prefs.js';

export const LEVELS = 65;
export const MIDDLE = 32;
export const UNKNOWN = LEVELS; // the colour after the last: nothing known

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const mixed = (a, b, share) => a.map((v, k) => Math.round(v + (b[k] - v) * share));

function ramp(stops) {
  return Array.from({ length: LEVELS }, (_, level) => {
    const place = (level / (LEVELS - 1)) * (stops.length - 1);
    const at = Math.min(stops.length - 2, Math.floor(place));
    return mixed(stops[at], stops[at + 1], place - at);
  });
}

function table(colours, unknown) {
  const all = [...colours, unknown];
  const bright = rgb(token('map-ink-light')),
    dark = rgb(token('map-ink-dark'));
  const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  return {
    fill: all.map(([r, g, b]) => `rgb(${r},${g},${b})`),
    ink: all.map((colour) => {
      const l = luminance(colour);
      return contrast(l, luminance(bright)) >= contrast(l, luminance(dark)) ? token('map-ink-light') : token('map-ink-dark');
    }),
  };
}

/** The tables of the theme that is drawn now. */
export function palette() {
  const neutral = rgb(token('map-neutral')),
    unknown = rgb(token('map-unknown'));
  const down = [rgb(token('map-down-2')), rgb(token('map-down-1')), neutral];
  const up = [neutral, rgb(token('map-up-1')), rgb(token('map-up-2'))];
  return {
    move: table(ramp([...down, ...up.slice(1)]), unknown),
    volume: table(ramp([neutral, rgb(token('map-more-1')), rgb(token('map-more-2'))]), unknown),
    score: table(ramp([neutral, rgb(token('map-more-1')), rgb(token('map-more-2'))]), unknown),
  };
}

/** The level of instrument `i` of the board in one metric; `full` is where the ramp ends (bp, hundredths, score x 200). */
export function level(board, i, metric, full) {
  if (!board.known[i]) return UNKNOWN;
  if (metric === 'move') {
    const at = MIDDLE + Math.round((board.move[i] / full) * MIDDLE);
    return at < 0 ? 0 : at > LEVELS - 1 ? LEVELS - 1 : at;
  }
  const value = metric === 'volume' ? board.volume[i] : board.score[i];
  if (metric === 'score' && value === 255) return UNKNOWN;
  const at = Math.round((value / full) * (LEVELS - 1));
  return at > LEVELS - 1 ? LEVELS - 1 : at;
}
