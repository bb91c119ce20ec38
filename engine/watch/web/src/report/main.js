// A report, drawn from the data beside it in the file. Each section is made when it comes near the window; nothing is asked of anybody.
import '../style/tokens.css';
import '../style/controls.css';
import '../style/panels.css';
import '../style/tables.css';
import '../style/charts.css';
import './report.css';
import { render } from 'preact';
import { html } from '../ui/html.js';
import { shade, theme } from '../prefs.js';
import { Section } from './parts.js';
import { header } from './payload.js';
import { Account, Figures, Head } from './summary.js';
import { Seen } from './seen.js';
import { Trades } from './trades.js';
import { Costs, Distributions, Groups, Hours, Months } from './money.js';
import { Criteria, Engine, Latency, Suggestions } from './engine.js';

const SECTIONS = [
  ['account', 'Account', Account, { height: 440 }],
  ['seen', 'Seen, taken, refused', Seen, { height: 700 }],
  ['trades', 'Trades', Trades, { height: 620 }],
  ['costs', 'Costs and slippage', Costs, { height: 260 }],
  ['months', 'By month', Months, { height: 90 }],
  ['hours', 'By weekday and time of entry', Hours, { height: 200 }],
  ['distributions', 'Distributions', Distributions, { height: 190 }],
  ['groups', 'By source, instrument, direction, score and exit', Groups, { height: 260 }],
  ['criteria', 'Criteria', Criteria, { height: 240, when: (head) => head.criteria }],
  ['latency', 'Latency of each stage', Latency, { height: 240 }],
  ['suggestions', 'Thresholds', Suggestions, { height: 260, when: (head) => head.suggestions }],
  ['engine', 'Feed, alarms, settings', Engine, { height: 260 }],
];

function Report({ head }) {
  const shown = SECTIONS.filter(([, , , { when }]) => !when || when(head));
  return html`<nav class="contents" aria-label="Sections"><span class="mark" aria-hidden="true"></span>${shown.map(([id, title]) => html`<a key=${id} href=${`#${id}`}>${title.split(/,| and | of /)[0]}</a>`)}
      <button class="button theme" onClick=${() => { theme.value = shade.value === 'dark' ? 'light' : 'dark'; }}>${shade.value === 'dark' ? 'Light' : 'Dark'}</button></nav>
    <main><${Head} head=${head} /><${Figures} head=${head} />
      ${shown.map(([id, title, Part, { height }]) => html`<${Section} key=${id} id=${id} title=${title} height=${height}>${() => html`<${Part} head=${head} />`}<//>`)}
      <footer>Made by the engine's <code>report</code>; the file asks nothing of any other computer.</footer></main>`;
}

const box = document.getElementById('report');
try {
  const head = header();
  box.textContent = '';
  render(html`<${Report} head=${head} />`, box);
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark('drawn')));      // the frame with the figures is painted
} catch (error) {
  box.textContent = `The report's data cannot be read: ${error.message}. Make it again with \`python -m engine report\`.`;
}
