// Which view is open, and the keys: 1 to 9, t, /, Ctrl K, [ and ], l, g, ?.
import { effect, signal } from '@preact/signals';
import { pref } from './prefs.js';
import { at, moment, open, opened, span, travel } from './state.js';

export const TABS = [
  ['market', 'Market'],
  ['trading', 'Orders'],
  ['money', 'P&L'],
  ['feed', 'Feed'],
  ['options', 'Options'],
  ['risk', 'Risk'],
  ['models', 'Models'],
  ['log', 'Alerts'],
  ['runs', 'Runs'],
];
export const tab = pref('tab', 'market');
export const palette = signal(null); // the text that is typed; null: closed
export const isHelpOpen = signal(false);
export const showPalette = (text) => {
  palette.value = text;
};

/** The address names view and opened candidate, so that it can be sent to somebody. */
export function followAddress() {
  const read = () => {
    const found = /^#(\w+)(?:\/(candidate|order)\/(\d+))?$/.exec(location.hash);
    if (found && TABS.some(([name]) => name === found[1])) {
      tab.value = found[1];
      if (found[2] && opened.peek()?.id !== Number(found[3])) open(found[2], Number(found[3]));
    }
  };
  read();
  addEventListener('hashchange', read);
  effect(() => {
    const text = `#${tab.value}${opened.value ? `/${opened.value.kind}/${opened.value.id}` : ''}`;
    if (location.hash !== text) history.replaceState(null, '', text);
  });
}

export const step = (seconds) => travel((at.peek() ?? moment.peek()?.now_us ?? span.peek().last) + seconds * 1e6);
const isTyping = (target) => target.closest?.('input, select, textarea, [contenteditable]') && target.type !== 'range';

export function listenToKeys(actions) {
  addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      showPalette('');
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    const number = Number(event.key);
    if (number >= 1 && number <= TABS.length) tab.value = TABS[number - 1][0];
    else if (event.key === '[' || event.key === ']') step((event.key === '[' ? -1 : 1) * 1);
    else if (event.key === '{' || event.key === '}') step((event.key === '{' ? -1 : 1) * 60);
    else if (actions[event.key]) actions[event.key]();
    else return;
    event.preventDefault();
  });
}
