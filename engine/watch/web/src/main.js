// The page of the watch process.
import 'uplot/dist/uPlot.min.css';
import './style/tokens.css';
import './style/page.css';
import './style/controls.css';
import './style/dialogs.css';
import './style/panels.css';
import './style/tables.css';
import './style/charts.css';
import './style/market.css';
import './style/views.css';
import './style/drawer.css';
import './style/narrow.css';
import { render } from 'preact';
import { html, useEffect, useRef, useSignal } from './ui/html.js';
import { toasts } from './api.js';
import { connect } from './link.js';
import { TABS, followAddress, isHelpOpen, listenToKeys, showPalette, tab } from './navigation.js';
import { ConfirmDialog } from './operations.js';
import { begin, instruments, moment, opened, session, trouble } from './state.js';
import { Split } from './ui/split.js';
import { CandidatesPanel } from './views/candidates.js';
import { CandlesPanel } from './views/candles.js';
import { FeedView } from './views/feed.js';
import { LogView } from './views/log.js';
import { Banner, Machine, backToLive } from './views/machine.js';
import { ModelsView } from './views/models.js';
import { MoneyView } from './views/money.js';
import { Opened, close } from './views/opened.js';
import { OptionsView } from './views/options.js';
import { Help, Palette, neighbourInstrument } from './views/palette.js';
import { RiskView } from './views/risk.js';
import { RunsView } from './views/runs.js';
import { Strip, isMachineOpen, nextTheme } from './views/strip.js';
import { TradingView } from './views/trading.js';
import { MapPanel } from './map/view.js';

const VIEWS = {
  market: MarketView,
  trading: TradingView,
  money: MoneyView,
  feed: FeedView,
  options: OptionsView,
  risk: RiskView,
  models: ModelsView,
  log: LogView,
  runs: RunsView,
};

function MarketView() {
  const isNarrow = useNarrow();
  if (isNarrow) return html`<div class="stack"><${MapPanel} /><${CandlesPanel} /><${CandidatesPanel} /></div>`;
  return html`<${Split} name="market" is="columns" start=${60} label="Between charts and candidates">
    <${Split} name="charts" is="rows" start=${55} label="Between map and candles"><${MapPanel} /><${CandlesPanel} /><//>
    <${CandidatesPanel}
  /><//>`;
}

function useNarrow() {
  const query = useRef(matchMedia('(max-width: 900px)')),
    is = useSignal(query.current.matches);
  useEffect(() => {
    const changed = () => {
      is.value = query.current.matches;
    };
    query.current.addEventListener('change', changed);
    return () => query.current.removeEventListener('change', changed);
  }, []);
  return is.value;
}

function Tabs() {
  useEffect(() => {
    const one = document.getElementById(`tab-${tab.value}`),
      list = one.parentElement;
    list.scrollLeft = one.offsetLeft - list.offsetLeft - (list.clientWidth - one.offsetWidth) / 2;
  }, [tab.value]);
  const onKeyDown = (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    const at = TABS.findIndex(([name]) => name === tab.value);
    const [name] = TABS[(at + by + TABS.length) % TABS.length];
    tab.value = name;
    event.currentTarget.querySelector(`[data-tab=${name}]`).focus();
    event.preventDefault();
  };
  return html`<nav class="tabs" aria-label="Views">
    <div role="tablist" aria-label="Views" onKeyDown=${onKeyDown}>
      ${TABS.map(
        ([name, text], k) =>
          html`<button
            role="tab"
            key=${name}
            id=${`tab-${name}`}
            data-tab=${name}
            aria-selected=${tab.value === name}
            aria-controls="view"
            tabindex=${tab.value === name ? 0 : -1}
            onClick=${() => {
              tab.value = name;
            }}
          >
            <span class="tab-key" aria-hidden="true">${k + 1}</span>${text}
          </button>`,
      )}
    </div>
    <a
      class="credit wide-only"
      href="https://www.tradingview.com/"
      target="_blank"
      rel="noreferrer noopener"
      title="Lightweight Charts™ by TradingView"
      >Charts by TradingView</a
    >
  </nav>`;
}

function App() {
  if (trouble.value)
    return html`<main class="fatal">
      <h1>The page has no engine to show</h1>
      <p>${trouble.value}</p>
      <p class="faint">It asks again every few seconds.</p>
    </main>`;
  if (!session.value || !instruments.value) return html`<${Waiting} />`;
  const View = VIEWS[tab.value] ?? MarketView;
  return html`<${Strip} /><${Tabs} /><${Banner} />${isMachineOpen.value && html`<${Machine} />`}<${Troubles} />
    <div class="desk">
      <main id="view" role="tabpanel" aria-labelledby=${`tab-${tab.value}`} class=${`view view-${tab.value}`}>
        <h1 class="sr">${TABS.find(([name]) => name === tab.value)?.[1]}</h1>
        <${View} key=${tab.value} />
      </main>
      <${Opened} />
    </div>
    <${ConfirmDialog} /><${Palette} /><${Help} /><${Toasts} /><datalist id="symbols">
      ${instruments.value.count <= 400 && instruments.value.symbol.map((name) => html`<option key=${name} value=${name} />`)}
    </datalist>`;
}

/** What the processes say is wrong, where nobody can miss it. */
function Troubles() {
  const found = moment.value?.troubles ?? [];
  return found.length
    ? html`<ul class="troubles" role="alert">
        ${found.map((text) => html`<li key=${text}>▲ ${text}</li>`)}
      </ul>`
    : null;
}

const Waiting = () =>
  html`<main class="waiting" role="status" aria-label="Loading">
    <h1 class="sr">Spike engine</h1>
    <div class="bone tall"></div>
    <div class="bones">
      <div class="bone block"></div>
      <div class="bone block"></div>
      <div class="bone block"></div>
    </div>
  </main>`;
const Toasts = () =>
  html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map((toast) => html`<p key=${toast.id} class=${`toast ${toast.kind}`}>${toast.text}</p>`)}
  </div>`;

listenToKeys({
  t: () => {
    isMachineOpen.value = !isMachineOpen.value;
  },
  g: nextTheme,
  l: backToLive,
  '/': () => showPalette(''),
  '?': () => {
    isHelpOpen.value = true;
  },
  n: () => neighbourInstrument(1),
  p: () => neighbourInstrument(-1),
  o: () => document.querySelector('[data-operate]')?.click(),
  Escape: () => {
    if (opened.peek()) close();
  },
});
followAddress();
document.getElementById('app').replaceChildren();
render(html`<${App} />`, document.getElementById('app'));

async function start() {
  try {
    await begin();
    trouble.value = '';
    connect();
  } catch (error) {
    trouble.value = error.message;
    setTimeout(start, 3000);
  }
}
start();
