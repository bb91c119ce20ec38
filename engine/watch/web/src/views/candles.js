// The candles of the chosen instrument, one or two timeframes, with its signals and its position.
import { html, useEffect, useRef, useSignal } from '../ui/html.js';
import { Choice, Empty, Panel, Skeleton } from '../ui/parts.js';
import { useResource } from '../api.js';
import { CandleChart } from '../charts/candles.js';
import { clock, count, percent, rupees, tone } from '../format.js';
import { candle, watch } from '../link.js';
import { pref, shade } from '../prefs.js';
import { board, freshCandidates, freshOrders, inst, instruments, isLive, moment, open, selected, session } from '../state.js';

const timeframe = pref('candles.tf', 1);
const second = pref('candles.second', 15);
const isSplit = pref('candles.split', false);
const shown = pref('candles.shown', { candidates: true, watched: false });
const REST_S = 15;

export function CandlesPanel() {
  const all = (session.value?.timeframes ?? [1]).map((tf) => [tf, tf < 60 ? `${tf}m` : `${tf / 60}h`, `${tf} minutes`]);
  const flip = (name) => {
    shown.value = { ...shown.value, [name]: !shown.value[name] };
  };
  const tools = html`<${Choice}
      label="Timeframe"
      value=${timeframe.value}
      options=${all}
      onChoose=${(tf) => {
        timeframe.value = tf;
      }}
    />
    ${
      isSplit.value &&
      html`<${Choice}
        label="Second timeframe"
        value=${second.value}
        options=${all}
        onChoose=${(tf) => {
          second.value = tf;
        }}
      />`
    }
    <button
      class=${`toggle wide-only ${isSplit.value ? 'is-on' : ''}`}
      aria-pressed=${isSplit.value}
      onClick=${() => {
        isSplit.value = !isSplit.value;
      }}
    >
      Two
    </button>
    <button
      class=${`toggle ${shown.value.candidates ? 'is-on' : ''}`}
      aria-pressed=${shown.value.candidates}
      onClick=${() => flip('candidates')}
    >
      Signals
    </button>
    <button
      class=${`toggle ${shown.value.watched ? 'is-on' : ''}`}
      aria-pressed=${shown.value.watched}
      onClick=${() => flip('watched')}
    >
      Watched
    </button>`;
  const symbol = selected.value;
  return html`<${Panel}
    name="candles"
    title=${symbol || 'Candles'}
    note=${html`<${Quote} />`}
    tools=${tools}
    className="candles-panel"
  >
    ${
      inst.value < 0
        ? html`<${Empty}>Choose an instrument on the map, in a table, or with / and its name.<//>`
        : html`<div class=${`charts ${isSplit.value ? 'two' : ''}`}>
            <${Chart} key="first" inst=${inst.value} tf=${timeframe.value} isWatched=${true} />
            ${isSplit.value && html`<${Chart} key="second" inst=${inst.value} tf=${second.value} />`}
          </div>`
    }
  <//>`;
}

function Quote() {
  const b = board.value,
    i = inst.value;
  const tick = useSignal(0);
  useEffect(() => {
    const timer = setInterval(() => {
      tick.value++;
    }, 250);
    return () => clearInterval(timer);
  }, []);
  tick.value;
  if (!b || i < 0 || !b.known[i]) return null;
  return html`<span class="quote num"
    ><b>${rupees(b.price[i])}</b>${' '} <span class=${tone(b.move[i])}>${percent(b.move[i] / 1e4, 2, true)}</span></span
  >`;
}

function Chart({ inst: i, tf, isWatched }) {
  const box = useRef(null),
    chart = useRef(null),
    drawn = useRef('');
  const hover = useSignal(null),
    wake = useSignal(0);
  const zoom = pref(`zoom.${tf}`, null);
  const bars = useResource('candles', { inst: i, tf }, isWatched ? 60 : REST_S);
  const marks = useResource('marks', { inst: i }, REST_S);
  useEffect(() => {
    let timer = 0;
    const made = (chart.current = new CandleChart(box.current, {
      onZoom: (value) => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          current.current.value = value;
        }, 250);
      },
      onMark: (id) => {
        const [kind, number] = id.split(':');
        if (Number(number)) open('candidate', Number(number));
      },
      onHover: (value) => {
        hover.value = value;
      },
    }));
    return () => {
      clearTimeout(timer);
      made.destroy();
    };
  }, []);
  const current = useRef(zoom);
  current.current = zoom;
  useEffect(() => {
    requestAnimationFrame(() => {
      chart.current?.setColours();
      wake.value++;
    });
  }, [shade.value]);
  useEffect(() => {
    if (isWatched && isLive.value) watch(i, tf);
  }, [i, tf, isWatched, isLive.value]);
  useEffect(() => {
    if (!bars.data) return;
    const key = `${i}|${tf}`;
    const same = drawn.current === key;
    drawn.current = key;
    if (
      same &&
      isLive.peek() &&
      chart.current.count &&
      bars.data.t.length - chart.current.count < 2 &&
      bars.data.t.length >= chart.current.count
    ) {
      const n = bars.data.t.length;
      chart.current.update(Object.fromEntries(['t', 'o', 'h', 'l', 'c', 'v'].map((name) => [name, bars.data[name].slice(n - 2)])));
    } else chart.current.set(columns(bars.data), tf, instruments.value.tick[i], zoom.peek());
    wake.value++;
  }, [bars.data]);
  useEffect(() => {
    const now = candle.value;
    if (!isWatched || !now || !isLive.value || drawn.current !== `${i}|${tf}`) return;
    if ((now.inst ?? i) !== i || (now.tf ?? tf) !== tf || !now.t?.length) return;
    chart.current.update(now);
  }, [candle.value]);
  useEffect(() => {
    if (marks.data && chart.current.count) chart.current.setMarks(merged(marks.data, i), shown.value, moment.value?.now_us ?? 0);
  }, [marks.data, wake.value, shown.value, freshCandidates.value]);
  const fills = freshOrders.value
    .filter((row) => row.inst === i)
    .map((row) => row.filled)
    .join();
  useEffect(() => {
    if (fills) marks.reload();
  }, [fills]);
  const onKeyDown = (event) => {
    const act = {
      '+': () => chart.current.zoom(0.8),
      '=': () => chart.current.zoom(0.8),
      '-': () => chart.current.zoom(1.25),
      ArrowLeft: () => chart.current.scroll(-0.1),
      ArrowRight: () => chart.current.scroll(0.1),
      End: () => chart.current.latest(),
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
  };
  return html`<div
    class="chart"
    tabindex="0"
    role="application"
    aria-roledescription="candle chart"
    onKeyDown=${onKeyDown}
    aria-label=${`${selected.value}, ${tf} minute candles. Plus and minus zoom, arrows scroll, End goes to the last bar.`}
  >
    <div class="chart-box" ref=${box}></div>
    <${Reading} at=${hover} tf=${tf} />
    ${
      bars.data === null &&
      (bars.error
        ? html`<div class="over"><${Empty} kind="error">${bars.error}<//></div>`
        : html`<div class="over"><${Skeleton} rows=${3} /></div>`)
    }
    ${
      bars.data?.t.length === 0 &&
      html`<div class="over"><${Empty}>No bar of ${selected.value} yet: its first trade begins one.<//></div>`
    }
  </div>`;
}

const columns = (data) => ({ ...data, t: [...data.t] });

/** What came since the marks were read. */
function merged(marks, i) {
  if (!isLive.peek()) return marks;
  const known = new Set(marks.candidates.map((row) => row.id));
  const fresh = freshCandidates.peek().filter((row) => row.inst === i && !known.has(row.id));
  return fresh.length ? { ...marks, candidates: [...marks.candidates, ...fresh] } : marks;
}

function Reading({ at, tf }) {
  const bar = at.value;
  return html`<div class="reading num" aria-hidden="true">
    <b>${tf}m</b>${' '}${
      bar?.open != null
        ? html`${clock(bar.time * 1e6).slice(0, 5)}${' '} O ${bar.open.toFixed(2)} H ${bar.high.toFixed(2)} L ${bar.low.toFixed(2)}
          C ${bar.close.toFixed(2)} V ${count(bar.volume)}`
        : ''
    }
  </div>`;
}
