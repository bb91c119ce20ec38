// The WebSocket: frames to the board, pulses to the moment; connects again by itself, later and later.
import { effect, signal } from '@preact/signals';
import * as state from './state.js';

const FIRST_MS = 500,
  LONGEST_MS = 15_000,
  MOST = 400;
export const linkState = signal('connecting'); // connecting, open, closed
export const nextTry = signal(0); // performance.now() of the next attempt
export const candle = signal(null); // {inst, tf, ...last two bars}
let socket = null,
  wait = FIRST_MS,
  watched = null;

export function watch(inst, tf) {
  watched = { inst, tf };
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ watch: watched }));
}

export function connect() {
  const address = new URL('/ws', location.href);
  address.protocol = address.protocol.replace('http', 'ws');
  linkState.value = 'connecting';
  socket = new WebSocket(address);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    linkState.value = 'open';
    wait = FIRST_MS;
    if (watched) watch(watched.inst, watched.tf);
  };
  socket.onmessage = ({ data }) => (typeof data === 'string' ? onText(JSON.parse(data)) : onFrame(data));
  socket.onclose = () => {
    linkState.value = 'closed';
    nextTry.value = performance.now() + wait;
    setTimeout(again, wait);
    wait = Math.min(LONGEST_MS, wait * 2);
  };
}

async function again() {
  try {
    if (!state.session.peek()) await state.begin();
    else if (state.isFollowed.peek()) await renew();
  } catch {
    /* the socket's own end says it again */
  }
  connect();
}

/** After a break everything is asked anew: another engine, another number of instruments may stand there. */
async function renew() {
  const past = state.at.peek();
  await state.begin();
  if (past !== null) state.travel(past);
}

function onFrame(buffer) {
  const board = state.liveBoard.peek();
  if (board?.take(buffer, performance.now())) heard();
}

function heard() {
  state.heard.last = performance.now();
  if (state.age.peek() > state.STALE_MS) state.age.value = 0;
}

const newest = (old, fresh) => (fresh.length ? [...fresh].reverse().concat(old).slice(0, MOST) : old);

function onText(message) {
  heard();
  const { pulse, events, candidates, orders } = message;
  if (pulse) {
    state.pulse.value = pulse;
    const old = state.liveMoment.peek();
    if (old) {
      const fresh = Object.fromEntries(state.PULSED.filter((name) => pulse[name] !== undefined).map((name) => [name, pulse[name]]));
      state.liveMoment.value = { ...old, ...fresh };
    }
  }
  if (events?.length) state.events.value = newest(state.events.peek(), events);
  if (candidates?.length) state.freshCandidates.value = merged(state.freshCandidates.peek(), candidates);
  if (orders?.length) state.freshOrders.value = merged(state.freshOrders.peek(), orders);
  if (message.candle) candle.value = message.candle;
}

/** A candidate or an order comes again with each change of it: the newest word counts. */
function merged(old, fresh) {
  const rows = new Map(old.map((row) => [row.id, row]));
  for (const row of fresh) rows.set(row.id, row);
  return [...rows.values()].sort((a, b) => b.id - a.id).slice(0, MOST);
}

effect(() => {
  document.title = title();
});
function title() {
  const session = state.session.value;
  if (!session) return 'Spike engine';
  const net = state.moment.value?.money;
  const sum = net ? (net.realised + net.open - net.charges) / 100 : 0;
  return `${sum < 0 ? '−' : '+'}${Math.abs(sum).toFixed(0)} · ${session.mode} · Spike engine`;
}
