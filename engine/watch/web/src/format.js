// Numbers and times as the page writes them: rupees with Indian grouping, India's clock, a sign that is never colour alone.
const DAY_S = 86_400,
  IST_S = 19_800;
const grouped = new Intl.NumberFormat('en-IN', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat('en-IN', { maximumFractionDigits: 0 });
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
export const NONE = '–';
const MINUS = '−';
const signed = (value, text) => (value < 0 ? MINUS : value > 0 ? '+' : '') + text;
const two = (n) => String(n).padStart(2, '0');

/** Paise as rupees: 12,34,567.00; with `plus` a sign in front of both directions. */
export function rupees(paise, plus = false) {
  if (paise == null || Number.isNaN(paise)) return NONE;
  const text = grouped.format(Math.abs(paise) / 100);
  return plus ? signed(Math.round(paise), text) : (paise < 0 ? MINUS : '') + text;
}

export function count(n, plus = false) {
  if (n == null || Number.isNaN(n)) return NONE;
  const text = whole.format(Math.abs(n));
  return plus ? signed(n, text) : (n < 0 ? MINUS : '') + text;
}

/** A float with so many significant figures, never in exponents where it can be read. */
export function figure(value, digits = 3) {
  if (value == null || Number.isNaN(value)) return NONE;
  if (!Number.isFinite(value)) return value > 0 ? '∞' : `${MINUS}∞`;
  const size = Math.abs(value);
  const text =
    size >= 1000
      ? whole.format(size)
      : size !== 0 && size < 1e-4
        ? size.toExponential(1)
        : String(Number(size.toPrecision(digits)));
  return (value < 0 ? MINUS : '') + text;
}

export function fixed(value, digits = 2, plus = false) {
  if (value == null || Number.isNaN(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return plus ? signed(Number(value.toFixed(digits)), text) : (value < 0 ? MINUS : '') + text;
}

export const percent = (share, digits = 2, plus = false) =>
  share == null || Number.isNaN(share) ? NONE : `${fixed(share * 100, digits, plus)} %`;

const inIndia = (us) => Math.floor(us / 1e6) + IST_S;

/** HH:MM:SS in India. */
export function clock(us) {
  if (!us) return '--:--:--';
  const s = ((inIndia(us) % DAY_S) + DAY_S) % DAY_S;
  return `${two(Math.floor(s / 3600))}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

export function day(us) {
  if (!us) return NONE;
  const date = new Date(inIndia(us) * 1000);
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

/** `2026-11-28` as 28 Nov 2026. */
export function dayName(iso) {
  const found = /^(\d{4})-(\d{2})-(\d{2})/.exec(iso ?? '');
  return found ? `${Number(found[3])} ${MONTHS[Number(found[2]) - 1]} ${found[1]}` : iso || NONE;
}

/** The microsecond at which India's clock shows `text` (9:15, 09:15:30, 091530) on the day of `us`; null where it is no time. */
export function parseClock(text, us) {
  const found = /^\s*(\d{1,2})[:.h]?(\d{2})(?:[:.]?(\d{2}))?\s*$/.exec(text);
  if (!found) return null;
  const [h, m, s] = [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
  if (h > 23 || m > 59 || s > 59) return null;
  const midnight = Math.floor(inIndia(us) / DAY_S) * DAY_S - IST_S;
  return (midnight + h * 3600 + m * 60 + s) * 1e6;
}

/** Nanoseconds as ns, us, ms or s. */
export function nanos(ns) {
  if (ns == null || Number.isNaN(ns)) return NONE;
  if (ns < 1e3) return `${Math.round(ns)} ns`;
  if (ns < 1e6) return `${figure(ns / 1e3)} µs`;
  return ns < 1e9 ? `${figure(ns / 1e6)} ms` : `${figure(ns / 1e9)} s`;
}

/** Seconds as a person says them: 4 s, 3 min 20 s, 2 h 5 min. */
export function span(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return NONE;
  if (seconds < 10) return `${figure(seconds, 2)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ''}`;
  return s < DAY_S ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min` : `${Math.floor(s / DAY_S)} d`;
}

export const side = (sign) => (sign > 0 ? 'Long' : sign < 0 ? 'Short' : NONE);
export const buySell = (sign) => (sign > 0 ? 'Buy' : sign < 0 ? 'Sell' : NONE);
export const arrow = (sign) => (sign > 0 ? '▲' : sign < 0 ? '▼' : '·');
export const tone = (value) => (value > 0 ? 'up' : value < 0 ? 'down' : '');

const UNITS = {
  share: (v) => percent(v),
  rupees: (v) => (v == null ? NONE : `₹ ${grouped.format(v)}`),
  x: (v) => (v == null ? NONE : `${figure(v)}×`),
  count: (v) => count(v),
  s: (v) => span(v),
  days: (v) => (v == null ? NONE : `${figure(v)} d`),
};
/** A limit's number in its unit. */
export const inUnit = (value, unit) => (UNITS[unit] ?? ((v) => `${figure(v)}${unit ? ` ${unit}` : ''}`))(value);
export const words = (name) => String(name ?? '').replaceAll('_', ' ');
