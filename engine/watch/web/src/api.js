// The API of the watch process, and nothing else: no other host is ever asked.
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import * as state from './state.js';

let csrf = '';
export const setCsrf = (value) => {
  csrf = value;
};

/** An answer that says no; `message` has the server's words. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  let document = null;
  try {
    document = await response.json();
  } catch {
    /* told below */
  }
  if (response.ok && document !== null) return document;
  throw new Refused(
    document?.error ?? `the watch process answered ${response.status}: look at its log in the run folder`,
    response.status,
  );
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused('the watch process does not answer: is the engine running?', 0);
  }
}

/** GET /api/NAME. The run and the moment of the page go with it, unless `anywhere`. */
export async function get(name, query = {}, { anywhere = false, signal: abort } = {}) {
  const { run, at } = anywhere ? { run: '', at: null } : state.where.peek();
  const all = { ...(run ? { run } : {}), ...(at !== null ? { at } : {}), ...query };
  const text = new URLSearchParams(Object.entries(all).filter(([, value]) => value !== '' && value != null)).toString();
  return answer(await send(`/api/${name}${text ? `?${text}` : ''}`, { signal: abort }));
}

export async function post(name, body) {
  return answer(
    await send(`/api/${name}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Spike': csrf },
      body: JSON.stringify(body),
    }),
  );
}

/** Data of a panel: {data, error, when}. Asked again every `every` seconds while live, and when the run, the moment or the query
 * changes; what was there stays until the next is. */
export function useResource(name, query = {}, every = 0) {
  const box = useSignal({ data: null, error: '', when: 0, isLoading: true });
  const key = name === null ? '' : `${name}?${JSON.stringify(query)}`;
  const { run, at } = state.where.value;
  const last = useRef('');
  const again = useRef(() => {});
  useEffect(() => {
    if (name === null) return undefined;
    const abort = new AbortController();
    let timer = 0;
    const place = `${name}|${run}`;
    if (last.current !== place) box.value = { data: null, error: '', when: 0, isLoading: true };
    last.current = place;
    const ask = async () => {
      clearTimeout(timer);
      try {
        const data = await get(name, query, { signal: abort.signal });
        box.value = { data, error: '', when: performance.now(), isLoading: false };
      } catch (error) {
        if (error.name === 'AbortError') return;
        box.value = { ...box.value, error: error.message, isLoading: false };
      }
      if (every && at === null && !document.hidden) timer = setTimeout(ask, every * 1000);
      else if (every && at === null) timer = setTimeout(ask, 5000);
    };
    again.current = ask;
    ask();
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key, run, at, every]);
  return { ...box.value, reload: () => again.current() };
}

export const toasts = signal([]);
let toastNumber = 0;
/** Says something at the foot of the page for some seconds. */
export function say(text, kind = 'info') {
  const id = ++toastNumber;
  toasts.value = [...toasts.value, { id, text, kind }];
  setTimeout(() => {
    toasts.value = toasts.value.filter((toast) => toast.id !== id);
  }, 8000);
}
