// The option chain of one underlying: calls left, puts right, Greeks and implied volatility.
import { html, useEffect, useMemo, useRef, useSignal } from '../ui/html.js';
import { Empty, Loaded, Panel } from '../ui/parts.js';
import { useResource } from '../api.js';
import { count, dayName, fixed, percent, rupees } from '../format.js';
import { pref } from '../prefs.js';
import { inst, instruments, selected } from '../state.js';

const more = pref('options.greeks', true);
const COLUMNS = [
  ['OI', (leg) => count(leg.oi)],
  ['Volume', (leg) => count(leg.volume)],
  ['Rho', (leg) => fixed(leg.rho, 3), true],
  ['Vega', (leg) => fixed(leg.vega, 2), true],
  ['Theta', (leg) => fixed(leg.theta, 2), true],
  ['Gamma', (leg) => fixed(leg.gamma, 4), true],
  ['Delta', (leg) => fixed(leg.delta, 2)],
  ['IV', (leg) => percent(leg.iv, 1)],
  ['Bid', (leg) => rupees(leg.bid)],
  ['Ask', (leg) => rupees(leg.ask)],
  ['Last', (leg) => rupees(leg.ltp)],
];

const without = (under) => `This run watches no option of ${under}. Options are watched where the configuration asks for them.`;
const about = (under, { spot, atm_iv: iv, pcr }) =>
  [`${under} at ${rupees(spot)}`, iv && `at the money ${percent(iv, 1)}`, pcr && `puts to calls ${fixed(pcr)}`]
    .filter(Boolean)
    .join(', ');

export function OptionsView() {
  const expiry = useSignal('');
  const columns = instruments.value,
    i = inst.value;
  const withOptions = useMemo(
    () => [...new Set(columns.under.filter((u, k) => u >= 0 && columns.kind[k] === 'option'))].map((u) => columns.symbol[u]).sort(),
    [columns],
  );
  const chosen = i >= 0 && columns.under[i] >= 0 ? columns.symbol[columns.under[i]] : selected.value;
  const under = withOptions.includes(chosen) || !withOptions.length ? chosen : withOptions[0];
  const found = useResource('chain', { symbol: under }, 3);
  const day = found.data?.expiries.includes(expiry.value) ? expiry.value : found.data?.expiries[0];
  const ofDay = (data) => ({ ...data, rows: data.rows.filter((row) => !row.expiry || row.expiry === day) });
  const legs = COLUMNS.filter(([, , isGreek]) => !isGreek || more.value);
  const tools = html`<label class="inline"
      ><span class="sr">Underlying</span
      ><select
        aria-label="Underlying"
        value=${under}
        onChange=${(event) => {
          selected.value = event.currentTarget.value;
        }}
      >
        ${[...new Set([under, ...withOptions])].sort().map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select></label
    >
    ${
      found.data?.expiries.length > 0 &&
      html`<label class="inline"
        ><span class="sr">Expiry</span
        ><select
          aria-label="Expiry"
          value=${day}
          onChange=${(event) => {
            expiry.value = event.currentTarget.value;
          }}
        >
          ${found.data.expiries.map((day) => html`<option key=${day} value=${day}>${dayName(day)}</option>`)}
        </select></label
      >`
    }
    <button
      class=${`toggle ${more.value ? 'is-on' : ''}`}
      aria-pressed=${more.value}
      onClick=${() => {
        more.value = !more.value;
      }}
    >
      All Greeks
    </button>`;
  return html`<div class="grid options">
    <${Panel}
      name="chain"
      title="Option chain"
      note=${found.data?.spot ? about(under, found.data) : under}
      tools=${tools}
      age=${found.when}
    >
      ${
        !under
          ? html`<${Empty}>Choose an underlying.<//>`
          : html`<${Loaded}
              of=${found}
              rows=${10}
              empty=${(data) => (data.rows.length ? '' : without(under))}
            >
              ${(data) => html`<${Chain} data=${ofDay(data)} legs=${legs} />`}<//
            >`
      }<//
    >
  </div>`;
}

function Chain({ data, legs }) {
  const box = useRef(null);
  useEffect(() => {
    // a narrow page shows the strikes first
    box.current.scrollLeft = (box.current.scrollWidth - box.current.clientWidth) / 2;
  }, [legs.length]);
  const near = data.rows.reduce(
    (best, row, k) => (Math.abs(row.strike - data.spot) < Math.abs(data.rows[best].strike - data.spot) ? k : best),
    0,
  );
  const cell = (name, leg, render, isInMoney) =>
    html`<td key=${name} class=${`right num ${isInMoney ? 'in-money' : ''}`}>${leg ? render(leg) : '–'}</td>`;
  const mirrored = [...legs].reverse();
  return html`<div class="plain-wrap chain-wrap" tabindex="0" role="region" aria-label="Option chain" ref=${box}>
    <table class="plain option-chain">
      <thead>
        <tr>
          <th colspan=${legs.length} scope="colgroup" class="group">Calls</th>
          <td></td>
          <th colspan=${legs.length} scope="colgroup" class="group">Puts</th>
        </tr>
        <tr>
          ${legs.map(([name]) => html`<th scope="col" class="right" key=${name}>${name}</th>`)}
          <th scope="col" class="strike">Strike</th>
          ${mirrored.map(([name]) => html`<th scope="col" class="right" key=${name}>${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${data.rows.map(
          (row, k) =>
            html`<tr key=${row.strike} class=${k === near ? 'at-money' : ''}>
              ${legs.map(([name, render]) => cell(name, row.call, render, row.strike < data.spot))}
              <th scope="row" class="strike num">
                ${rupees(row.strike)}${k === near ? html`<span class="sr"> at the money</span>` : ''}
              </th>
              ${mirrored.map(([name, render]) => cell(name, row.put, render, row.strike > data.spot))}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
