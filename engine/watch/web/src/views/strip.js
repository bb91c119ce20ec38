// The strip on top: what run, real money or not, market time, state, result, feed, latency, alerts; operations; time machine.
import { html, useRef, useSignal, useEffect } from '../ui/html.js';
import { Money } from '../ui/parts.js';
import { clock, count, dayName, figure, nanos } from '../format.js';
import { linkState, nextTry } from '../link.js';
import { OPERATIONS, confirmed } from '../operations.js';
import { pref, theme } from '../prefs.js';
import {
  STALE_MS,
  age,
  at,
  destination,
  isFollowed,
  isLive,
  isPast,
  isStale,
  mayOperate,
  moment,
  pulse,
  run,
  session,
  shownSession,
} from '../state.js';
import { showPalette, tab } from '../navigation.js';

export const isMachineOpen = pref('machine.open', false);
const MODES = {
  paper: ['PAPER', 'Orders are matched here, no real money'],
  live: ['LIVE', 'Real orders, real money'],
  observe: ['OBSERVE', 'Decides, sends nothing'],
  simulated: ['SIMULATED', 'A simulated market, no real money'],
};

export function Strip() {
  const now = moment.value,
    s = shownSession.value ?? session.value,
    p = isLive.value ? pulse.value : null;
  const [mode, meaning] = MODES[s.mode] ?? [String(s.mode).toUpperCase(), ''];
  const money = now?.money,
    net = money ? money.realised + money.open - money.charges : null;
  const alerts = p?.alerts ?? 0;
  return html`<header class="strip">
    <div class="brand">
      <${Logo} /><span class="sr">Spike engine</span><span class=${`mode ${s.mode}`} title=${meaning}>${mode}</span>
      <button
        class="run-name"
        title="Runs (9)"
        onClick=${() => {
          tab.value = 'runs';
        }}
      >
        ${run.value || s.run}
      </button>
    </div>
    <div class="cells">
      <${Cell}
        name="Market time"
        main=${isPast.value ? clock(destination.value ?? at.value) : clock(now?.now_us)}
        sub=${`${dayName(s.day)}${p?.speed && p.speed !== 1 ? ` · ×${figure(p.speed)}` : ''}`}
        dims=${true}
      />
      <${State} now=${now} />
      <${Cell}
        name="Net"
        main=${html`<${Money} paise=${net} />`}
        sub=${money ? html`open <${Money} paise=${money.open} />` : ''}
        dims=${true}
        className="net"
      />
      <${Cell}
        name="Feed"
        main=${now ? html`<${Sign} ok=${now.state.feed_up} yes="up" no="down" />` : '–'}
        sub=${p ? `${count(p.updates_per_s)} updates/s` : `${count(now?.counts.updates)} updates`}
        dims=${true}
      />
      <${Cell}
        name="Tick path"
        main=${p?.tick_us ? nanos(p.tick_us.p50 * 1e3) : '–'}
        sub=${p?.tick_us ? `p99 ${nanos(p.tick_us.p99 * 1e3)}` : 'while live'}
        dims=${true}
        className="lat"
      />
      <${Cell}
        name="Orders"
        main=${count(now?.counts.orders)}
        sub=${p?.order_ms?.p50 != null ? `${figure(p.order_ms.p50)} ms p50` : `${count(now?.counts.requests)} requests`}
        dims=${true}
        className="lat"
      />
      <button
        class=${`cell alerts ${alerts ? 'has' : ''}`}
        onClick=${() => {
          tab.value = 'log';
        }}
        title="Alerts and log (8)"
      >
        <span class="cell-name">Alerts</span><span class="cell-main num">${alerts ? `▲ ${alerts}` : p ? '0' : '–'}</span
        ><span class="cell-sub">${alerts ? 'to acknowledge' : p ? 'none open' : 'while live'}</span>
      </button>
    </div>
    <div class="strip-tools">
      <${Fresh} /><${Operate} now=${now} />
      <button
        class=${`icon ${isMachineOpen.value ? 'is-on' : ''}`}
        aria-pressed=${isMachineOpen.value}
        title="Time machine (t)"
        aria-label="Time machine"
        onClick=${() => {
          isMachineOpen.value = !isMachineOpen.value;
        }}
      >
        <${Icon} name="clock" />
      </button>
      <button class="icon" title="Commands (Ctrl K)" aria-label="Commands" onClick=${() => showPalette('')}>
        <${Icon} name="search" />
      </button>
      <button class="icon" title=${`Theme: ${theme.value} (g)`} aria-label=${`Theme: ${theme.value}`} onClick=${nextTheme}>
        <${Icon} name=${theme.value} />
      </button>
    </div>
  </header>`;
}

export function nextTheme() {
  theme.value = { auto: 'dark', dark: 'light', light: 'auto' }[theme.value];
}

const Cell = ({ name, main, sub, className = '', dims }) =>
  html`<div class=${`cell ${className}`}>
    <span class="cell-name">${name}</span> <span class=${`cell-main num ${dims ? 'dims' : ''}`}>${main}</span
    ><span class=${`cell-sub num ${dims ? 'dims' : ''}`}>${sub}</span>
  </div>`;

const Sign = ({ ok, yes, no }) =>
  html`<span class=${ok ? 'ok' : 'bad'}><span aria-hidden="true">${ok ? '●' : '✕'}</span> ${ok ? yes : no}</span>`;

function State({ now }) {
  if (!now) return html`<${Cell} name="State" main="–" />`;
  const { trading, operator } = now.state;
  const word = operator === 'RUN' ? trading : operator;
  const why = now.reducing?.length
    ? now.reducing.join(', ')
    : operator === 'RUN'
      ? `${now.positions.length} positions`
      : `engine ${trading.toLowerCase()}`;
  return html`<${Cell}
    name="State"
    dims=${true}
    sub=${why}
    main=${html`<span class=${word === 'RUNNING' ? 'ok' : 'warn'}>
      <span aria-hidden="true">${word === 'RUNNING' ? '●' : '▲'}</span> ${word}</span
    >`}
  />`;
}

/** How old what is shown is, in words. */
function Fresh() {
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => {
      tick.value++;
    }, 500);
    return () => clearInterval(timer);
  }, []);
  tick.value;
  if (!isFollowed.value) return html`<span class="fresh">stored run</span>`;
  if (isPast.value) return html`<span class="fresh">time machine</span>`;
  if (!session.value.live) return html`<span class="fresh">engine not running</span>`;
  if (linkState.value === 'closed') {
    const wait = Math.max(0, Math.ceil((nextTry.value - performance.now()) / 1000));
    return html`<span class="fresh bad" role="status"
      >no connection${age.value ? `, ${Math.round(age.value / 1000)} s old` : ''}; again in ${wait} s</span
    >`;
  }
  if (age.value > STALE_MS) return html`<span class="fresh bad" role="status">no data for ${Math.round(age.value / 1000)} s</span>`;
  return html`<span class="fresh ok"><span aria-hidden="true">●</span> live</span>`;
}

function Operate({ now }) {
  const isOpen = useSignal(false),
    box = useRef(null);
  useEffect(() => {
    const away = (event) => {
      if (!box.current?.contains(event.target)) isOpen.value = false;
    };
    addEventListener('pointerdown', away);
    return () => removeEventListener('pointerdown', away);
  }, []);
  const isRunning = now?.state.operator === 'RUN';
  const names = [isRunning ? 'pause' : 'resume', 'flatten', 'kill'];
  const why = isPast.value
    ? 'Not in the time machine: go back to live'
    : !isFollowed.value
      ? 'Not on a stored run'
      : !session.value.live
        ? 'No engine runs'
        : !session.value.may_operate
          ? 'This page may only look'
          : '';
  return html`<div
    class="operate"
    ref=${box}
    onKeyDown=${(event) => {
      if (event.key === 'Escape') isOpen.value = false;
    }}
  >
    <button
      class="button"
      aria-haspopup="menu"
      aria-expanded=${isOpen.value}
      disabled=${!mayOperate.value}
      title=${why || 'Operations (o)'}
      data-operate
      onClick=${() => {
        isOpen.value = !isOpen.value;
      }}
    >
      Operate
    </button>
    ${
      isOpen.value &&
      html`<div class="menu" role="menu">
        ${names.map(
          (name) =>
            html`<button
              role="menuitem"
              key=${name}
              class=${name === 'kill' ? 'danger' : ''}
              onClick=${() => {
                isOpen.value = false;
                confirmed(name);
              }}
            >
              <b>${OPERATIONS[name][0]}</b><span>${OPERATIONS[name][1]}</span>
            </button>`,
        )}
      </div>`
    }
  </div>`;
}

const Logo = () => html`<svg class="logo" viewBox="0 0 32 32" aria-hidden="true"><path d="M2 21h8l3-5 4-12 4 22 3-8h6" /></svg>`;
const PATHS = {
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zm0 3.5V12l3.2 2',
  search: 'M10.5 4.5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zm4.5 10.5 5 5',
  auto: 'M12 4a8 8 0 1 0 0 16V4zM12 4a8 8 0 0 1 0 16',
  dark: 'M19 14.5A7.5 7.5 0 0 1 9.500 5a7.500 7.500 0 1 0 9.500 9.500z',
  light:
    'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4',
};
export const Icon = ({ name }) => html`<svg class="glyph" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
