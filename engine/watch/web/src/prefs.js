// What survives a reload: layout, sort, filters, zoom. One signal a name, kept in localStorage.
import { effect, signal } from '@preact/signals';

const PREFIX = 'spike.';
const known = new Map();

function stored(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // storage switched off, or another version's value
  }
}

/** The signal of one preference; the same for every caller. */
export function pref(name, otherwise) {
  if (!known.has(name)) {
    const value = signal(stored(name, otherwise));
    let isFirst = true;
    effect(() => {
      const text = JSON.stringify(value.value);
      if (isFirst) {
        isFirst = false;
        return;
      }
      try {
        localStorage.setItem(PREFIX + name, text);
      } catch {
        /* a full or forbidden storage costs the layout, nothing else */
      }
    });
    known.set(name, value);
  }
  return known.get(name);
}

export const theme = pref('theme', 'auto');
const dark = matchMedia('(prefers-color-scheme: dark)');
/** What is drawn now: light or dark; canvases repaint when it changes. */
export const shade = signal('dark');
const choose = () => {
  shade.value = theme.value === 'auto' ? (dark.matches ? 'dark' : 'light') : theme.value;
  document.documentElement.dataset.theme = shade.value;
};
dark.addEventListener('change', choose);
effect(choose);

/** A design token as the style sheet has it now. */
export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
