// What was earned: realised, open, charges, net; by source; beside the broker's figures; equity and drawdown over the day.
import { html, useEffect, useRef } from '../ui/html.js';
import { Empty, Loaded, Money, Panel, Plain, Skeleton } from '../ui/parts.js';
import { useResource } from '../api.js';
import { drawdownChart, equityChart } from '../charts/equity.js';
import { clock, count, percent, rupees } from '../format.js';
import { shade } from '../prefs.js';
import { moment, session } from '../state.js';

export function MoneyView() {
  return html`<div class="grid money"><${Figures} /><${Curve} /><${Sources} /><${Broker} /></div>`;
}

function Figures() {
  const money = moment.value?.money;
  if (!money) return html`<${Panel} name="figures" title="Result"><${Skeleton} /><//>`;
  const net = money.realised + money.open - money.charges;
  const big = (name, paise, plus = true, note = '') =>
    html`<div class="big" key=${name}>
      <span class="cell-name">${name}</span><${Money} paise=${paise} plus=${plus} /><span class="faint num">${note}</span>
    </div>`;
  return html`<${Panel} name="figures" title="Result of the day, rupees" className="dims"
    ><div class="bigs">
      ${big('Net', net, true, money.equity ? `${percent(net / (money.equity - net), 2, true)} of the account` : '')}
      <span class="operator" aria-hidden="true">=</span>${big('Realised', money.realised)}<span class="operator" aria-hidden="true"
        >+</span
      >${big('Open', money.open)} <span class="operator" aria-hidden="true">−</span>${big('Charges', money.charges, false)}
      <span class="gap"></span
      >${big('Equity', money.equity, false)}${big('Available', money.available, false)}
      ${big('Exposure', money.exposure, false, money.equity ? `${percent(money.exposure / money.equity, 1)} of equity` : '')}
      ${big('Best of the day', money.best, true, `now ${rupees(net - money.best, true)}`)}
    </div><//
  >`;
}

const TOO_FEW = 'A curve needs two points: one a minute of market time, and one at each fill.';
function Curve() {
  const found = useResource('equity', {}, 10);
  return html`<${Panel}
    name="equity"
    title="Equity and drawdown"
    age=${found.when}
    note="drag to zoom, double-click for all"
    className="equity-panel"
  >
    <${Loaded}
      of=${found}
      empty=${(data) => (data.t_us.length < 2 ? TOO_FEW : '')}
    >
      ${(data) => html`<div class="curves">
          <${UChart} make=${equityChart} data=${data} label="Net, realised and open result over the day" />
          <${UChart} make=${drawdownChart} data=${data} label="Drawdown from the best of the day" />
        </div>`}<//
    ><//
  >`;
}

/** A chart of charts/*.js in a box of its own. */
export function UChart({ make, data, label, className = '' }) {
  const box = useRef(null),
    chart = useRef(null);
  useEffect(() => {
    chart.current = make(box.current, data);
    return () => chart.current.destroy();
  }, [make]);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) chart.current.set(data);
    isFirst.current = false;
  }, [data]);
  useEffect(() => {
    requestAnimationFrame(() => chart.current?.chart && chart.current.rebuild());
  }, [shade.value]);
  return html`<div class=${`uchart ${className}`} role="img" aria-label=${label} ref=${box}></div>`;
}

function Sources() {
  const rows = moment.value?.by_source ?? [];
  return html`<${Panel} name="sources" title="By source" className="dims"
    >${
      rows.length === 0
        ? html`<${Empty}>No source of signals runs.<//>`
        : html`<${Plain}
            label="Result by source"
            rows=${rows}
            rowKey=${(row) => row.source}
            columns=${[
              ['Source', (row) => html`<b>${row.source}</b>${row.is_on ? '' : html` <span class="chip">off</span>`}`],
              ['Trades', (row) => count(row.trades), 'right'],
              ['Won', (row) => (row.trades ? percent(row.wins / row.trades, 0) : '–'), 'right'],
              ['Realised', (row) => html`<${Money} paise=${row.realised} />`, 'right'],
              ['Open', (row) => html`<${Money} paise=${row.open} />`, 'right'],
              ['Charges', (row) => rupees(row.charges), 'right'],
              ['Net', (row) => html`<${Money} paise=${row.realised + row.open - row.charges} className="strong" />`, 'right'],
            ]}
          />`
    }<//
  >`;
}

const whyNothing = (data) =>
  data.rows.length ? '' : `${data.why || (session.value.mode === 'live' ? 'Not read yet' : 'No real account is traded')}.`;

/** A row of the day's report names an order, in rupees or shares; other rows are in paise. */
function compared(row) {
  if (row.order_id === undefined) return { ...row, difference: row.difference ?? row.broker - row.ours };
  const scale = row.what === 'quantity' ? (n) => n * 100 : (n) => Math.round(n * 100);
  const [ours, broker] = [scale(row.ours), scale(row.broker)];
  return {
    what: row.what,
    ours,
    broker,
    difference: broker - ours,
    explained: row.explained ?? `order ${row.order}, ${row.symbol}`,
  };
}

function Broker() {
  const found = useResource('broker', {}, 30);
  return html`<${Panel}
    name="broker"
    title="Beside the broker’s figures"
    age=${found.when}
    note=${found.data?.read_us ? `read ${clock(found.data.read_us)}` : ''}
  >
    <${Loaded} of=${found} empty=${whyNothing}>
      ${(data) =>
        html`<${Plain}
          label="Ours and the broker's"
          rows=${data.rows.map(compared)}
          columns=${[
            ['Figure', (row) => row.what],
            ['Ours', (row) => rupees(row.ours), 'right'],
            ['Broker', (row) => rupees(row.broker), 'right'],
            ['Difference', (row) => (row.difference ? html`<${Money} paise=${row.difference} />` : '✓ none'), 'right'],
            ['Explained by', (row) => row.explained || '–', 'grow wrap'],
          ]}
        />`}<//
    ><//
  >`;
}
