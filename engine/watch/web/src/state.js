// What the whole page knows: the session, the run, the moment, and how old it is.
import { computed, effect, signal } from '@preact/signals';
import { get, setCsrf } from './api.js';
import { Board } from './frame.js';
import { pref } from './prefs.js';

export const session = signal(null);
export const shownSession = signal(null); // of the run that is shown
export const trouble = signal(''); // why nothing can be shown at all
export const instruments = signal(null); // columns of /api/instruments, with `count` and `bySymbol`
export const run = signal(''); // '' : the run that watch follows
export const at = signal(null); // microsecond of the time machine; null: live
export const liveMoment = signal(null);
export const pastMoment = signal(null);
export const pulse = signal(null);
export const liveBoard = signal(null);
export const pastBoard = signal(null);
export const selected = pref('instrument', ''); // its symbol: numbers differ between runs
export const opened = signal(null); // {kind: 'candidate' | 'order', id, row}
export const events = signal([]); // the latest, newest first
export const freshCandidates = signal([]);
export const freshOrders = signal([]);

export const isPast = computed(() => at.value !== null);
export const isFollowed = computed(() => !run.value || run.value === session.value?.run);
export const isLive = computed(() => !isPast.value && isFollowed.value);
export const moment = computed(() => (isPast.value || !isFollowed.value ? pastMoment.value : liveMoment.value));
export const board = computed(() => (isPast.value || !isFollowed.value ? pastBoard.value : liveBoard.value));
export const where = computed(() => ({ run: run.value, at: at.value }));
export const inst = computed(() => instruments.value?.bySymbol.get(selected.value) ?? -1);
export const mayOperate = computed(() => Boolean(session.value?.may_operate && session.value?.live && isLive.value));

/** Age of the newest message (ms), renewed twice a second; what is older than STALE_MS looks it. */
export const STALE_MS = 2000;
export const heard = { last: 0 };
export const age = signal(0);
export const isStale = computed(() => isLive.value && Boolean(session.value?.live) && age.value > STALE_MS);
setInterval(() => {
  age.value = heard.last ? performance.now() - heard.last : 0;
}, 500);
effect(() => document.documentElement.classList.toggle('is-stale', isStale.value));
effect(() => document.documentElement.classList.toggle('is-past', isPast.value));

function withIndex(columns) {
  columns.count = columns.symbol.length;
  columns.bySymbol = new Map(columns.symbol.map((symbol, i) => [symbol, i]));
  return columns;
}

/** What stands before anything is drawn; again after `run` changed. Throws in words of the server. */
export async function begin() {
  const found = await get('session', {}, { anywhere: true });
  setCsrf(found.csrf);
  session.value = found;
  await openRun(run.value);
}

export async function openRun(name) {
  const query = name ? { run: name } : {};
  const about = name ? await get('session', query, { anywhere: true }) : session.value;
  const columns = withIndex(await get('instruments', query, { anywhere: true }));
  const now = await get('moment', query, { anywhere: true });
  run.value = name;
  shownSession.value = about;
  at.value = null;
  instruments.value = columns;
  pastMoment.value = null;
  if (name && name !== session.value.run) {
    pastBoard.value = new Board(columns.count);
    pastBoard.value.fill(now);
    pastMoment.value = now;
  } else {
    if (liveBoard.value?.count !== columns.count) liveBoard.value = new Board(columns.count);
    liveBoard.value.fill(now);
    liveMoment.value = now;
    if (!session.value.live) heard.last = 0;
  }
  if (!columns.bySymbol.has(selected.value)) selected.value = columns.symbol[0] ?? '';
}

const RENEW_S = 10;
/** What no pulse brings (alarms, gaps, models, day volumes) is asked for now and then. */
setInterval(async () => {
  if (!session.peek()?.live || !isLive.peek() || document.hidden || !liveMoment.peek()) return;
  try {
    const found = await get('moment', {}, { anywhere: true });
    const now = liveMoment.peek();
    if (now && found.now_us >= now.now_us) liveMoment.value = found;
    else if (now) liveMoment.value = { ...found, ...Object.fromEntries(PULSED.map((name) => [name, now[name]])) };
  } catch {
    /* the socket says that nobody answers */
  }
}, RENEW_S * 1000);
/** Parts of the moment that every pulse brings anew. */
export const PULSED = ['now_us', 'state', 'counts', 'money', 'limits', 'budgets', 'positions', 'by_source', 'troubles'];

/** The last moment there is to see (us), and the first. */
export const span = computed(() => {
  const about = shownSession.value;
  const last = isFollowed.value ? liveMoment.value?.now_us : (about?.latest_us ?? pastMoment.value?.now_us);
  const first = about?.began_us;
  return { first: first ?? (last ? last - 6 * 3600e6 : 0), last: last ?? 0 };
});

let asked = 0,
  timer = 0;
/** Puts the page at a microsecond; null is back to live. What is asked in quick succession is asked once. */
export function travel(us) {
  const { first, last } = span.value;
  const target = us === null ? null : Math.min(Math.max(Math.round(us / 1e6) * 1e6, first), last);
  const number = ++asked;
  clearTimeout(timer);
  if (target === null) {
    at.value = null;
    if (!isFollowed.value) openRun(run.value);
    return;
  }
  destination.value = target;
  timer = setTimeout(async () => {
    try {
      const now = await get('moment', { run: run.value, at: target }, { anywhere: true });
      if (number !== asked) return;
      if (pastBoard.value?.count !== instruments.value.count) pastBoard.value = new Board(instruments.value.count);
      pastBoard.value.fill(now);
      pastMoment.value = now;
      at.value = target;
      travelTrouble.value = '';
    } catch (error) {
      if (number === asked) travelTrouble.value = error.message;
    } finally {
      if (number === asked) destination.value = null;
    }
  }, 120);
}
export const destination = signal(null);
export const travelTrouble = signal('');

export function open(kind, id, row = null) {
  opened.value = { kind, id, row, from: document.activeElement };
}
