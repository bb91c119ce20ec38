// What results of runs look like, made alike for the panels: trades as rows in paise and microseconds, figures with their unit.
import { dayName, figure, rupees, words } from '../format.js';

const MONEY = new Set(['gross', 'charges', 'net']);
const SHARES = new Set(['win_rate', 'total_return', 'max_drawdown', 'exposure']);
const last = (name) => name.split(' · ').at(-1);
export const isMoney = (name) => MONEY.has(last(name));

/** A figure of a result; its money is in rupees. */
export function shown(name, value, plus = true) {
  if (value == null) return '–';
  if (isMoney(name)) return rupees(value * 100, plus && last(name) !== 'charges');
  return SHARES.has(last(name)) ? `${figure(value * 100)} %` : figure(value, 4);
}

/** Plain figures of a result, as facts. */
export const figures = (result) =>
  Object.entries(result ?? {})
    .filter(([, value]) => typeof value === 'number')
    .map(([name, value]) => [words(name), shown(name, value)]);

const APART = new Set(['interval', 'groups', 'options', 'name', 'run_dir']);
/** Numbers of a nested document, each under the names that lead to it. */
export function flat(document, prefix = '') {
  const out = {};
  for (const [name, value] of Object.entries(document ?? {})) {
    if (APART.has(name)) continue;
    if (typeof value === 'number') out[prefix + name] = value;
    else if (value && typeof value === 'object' && !Array.isArray(value) && prefix.length < 40)
      Object.assign(out, flat(value, prefix || name !== 'result' ? `${prefix}${name} · ` : ''));
  }
  return out;
}

/** Trades as rows: of a run as they are, of a backtest from its columns (rupees, nanoseconds). */
export function tradeRows(data) {
  if (Array.isArray(data.rows)) return data.rows;
  const c = data.columns ?? {};
  const paise = (rupee) => (rupee == null ? null : Math.round(rupee * 100));
  return (c.symbol ?? []).map((symbol, i) => ({
    n: i + 1,
    symbol,
    day: c.day[i],
    source: c.source?.[i],
    candidate: c.candidate?.[i],
    side: c.side[i],
    quantity: c.quantity[i],
    entered_us: c.entry_time[i] / 1000,
    exited_us: c.exit_time[i] ? c.exit_time[i] / 1000 : null,
    entry: paise(c.entry_price[i]),
    exit: paise(c.exit_price[i]),
    gross: paise(c.gross[i]),
    charges: paise(c.charges[i]),
    net: paise(c.gross[i]) - paise(c.charges[i]),
    exit_why: c.reason?.[i],
    score: c.score?.[i],
    strength: c.strength?.[i],
    stop: paise(c.stop?.[i]),
    target: paise(c.target?.[i]),
  }));
}

/** The day or days of a run in words. */
export const daysOf = (text) =>
  String(text ?? '')
    .split(' to ')
    .map(dayName)
    .join(' to ');
