// The command palette and the help: everything by keyboard.
import { html, useEffect, useMemo, useRef, useSignal } from '../ui/html.js';
import { TABS, isHelpOpen, palette, tab } from '../navigation.js';
import { confirmed } from '../operations.js';
import { inst, instruments, isPast, mayOperate, selected } from '../state.js';
import { backToLive } from './machine.js';
import { isMachineOpen, nextTheme } from './strip.js';

const MOST = 12;

function commands() {
  const all = TABS.map(([name, text], k) => [
    `Open ${text}`,
    String(k + 1),
    () => {
      tab.value = name;
    },
  ]);
  all.push(
    [
      'Time machine',
      't',
      () => {
        isMachineOpen.value = !isMachineOpen.value;
      },
    ],
    ['Switch the theme', 'g', nextTheme],
    [
      'Keys and help',
      '?',
      () => {
        isHelpOpen.value = true;
      },
    ],
  );
  if (isPast.value) all.push(['Back to live', 'l', backToLive]);
  if (mayOperate.value)
    for (const name of ['pause', 'resume', 'flatten', 'kill']) all.push([`Operate: ${name}`, '', () => confirmed(name)]);
  return all;
}

export function Palette() {
  const box = useRef(null),
    active = useSignal(0);
  const text = palette.value;
  const isOpen = text !== null;
  useEffect(() => {
    if (!isOpen) return;
    active.value = 0;
    box.current.showModal();
    box.current.querySelector('input').focus();
  }, [isOpen]);
  const found = useMemo(() => {
    if (!isOpen) return [];
    const wanted = text.trim().toLowerCase();
    const names = wanted.length
      ? (instruments.value?.symbol
          .filter((symbol) => symbol.toLowerCase().includes(wanted))
          .sort((a, b) => a.toLowerCase().indexOf(wanted) - b.toLowerCase().indexOf(wanted))
          .slice(0, 8) ?? [])
      : [];
    return [
      ...names.map((symbol) => [
        symbol,
        'instrument',
        () => {
          selected.value = symbol;
          if (tab.value !== 'options') tab.value = 'market';
        },
      ]),
      ...commands().filter(([name]) => name.toLowerCase().includes(wanted)),
    ].slice(0, MOST);
  }, [text, isOpen]);
  if (!isOpen) return null;
  const close = () => {
    palette.value = null;
    box.current?.close();
  };
  const run = (k) => {
    const act = found[k]?.[2];
    close();
    act?.();
  };
  const onKeyDown = (event) => {
    if (event.key === 'ArrowDown') active.value = Math.min(found.length - 1, active.value + 1);
    else if (event.key === 'ArrowUp') active.value = Math.max(0, active.value - 1);
    else if (event.key === 'Enter') run(active.value);
    else return;
    event.preventDefault();
  };
  return html`<dialog
    ref=${box}
    class="palette"
    aria-label="Commands"
    onCancel=${close}
    onClick=${(event) => {
      if (event.target === box.current) close();
    }}
  >
    <input
      role="combobox"
      aria-expanded="true"
      aria-controls="palette-list"
      aria-activedescendant=${`palette-${active.value}`}
      aria-label="Instrument or command"
      placeholder="Instrument or command"
      value=${text}
      onKeyDown=${onKeyDown}
      onInput=${(event) => {
        palette.value = event.currentTarget.value;
        active.value = 0;
      }}
    />
    <ul id="palette-list" role="listbox" aria-label="Found">
      ${found.map(
        ([name, hint], k) =>
          html`<li
            key=${name}
            id=${`palette-${k}`}
            role="option"
            aria-selected=${k === active.value}
            class=${k === active.value ? 'is-active' : ''}
            onClick=${() => run(k)}
          >
            <span>${name}</span><kbd>${hint}</kbd>
          </li>`,
      )}
      ${!found.length && html`<li class="empty" role="option" aria-selected="false">Nothing is called so.</li>`}
    </ul>
  </dialog>`;
}

const KEYS = [
  ['1 … 9', 'views'],
  ['/ or Ctrl K', 'instrument or command'],
  ['t', 'time machine'],
  ['[  ]', 'one second back, on'],
  ['{  }', 'one minute back, on'],
  ['l', 'back to live'],
  ['n  p', 'next, previous instrument'],
  ['o', 'operations'],
  ['g', 'theme'],
  ['Esc', 'closes what is open'],
  ['arrows, Enter', 'on the map, in tables, on the line between panels'],
  ['+  −  ← → End', 'zoom and scroll the candles'],
];
export function Help() {
  const box = useRef(null);
  useEffect(() => {
    if (isHelpOpen.value) box.current.showModal();
  }, [isHelpOpen.value]);
  if (!isHelpOpen.value) return null;
  const close = () => {
    isHelpOpen.value = false;
  };
  return html`<dialog
    ref=${box}
    class="help"
    aria-labelledby="help-title"
    onCancel=${close}
    onClick=${(event) => {
      if (event.target === box.current) close();
    }}
  >
    <h2 id="help-title">Keys</h2>
    <dl>
      ${KEYS.map(
        ([key, what]) =>
          html`<div key=${key}>
            <dt><kbd>${key}</kbd></dt>
            <dd>${what}</dd>
          </div>`,
      )}
    </dl>
    <p class="faint">
      Charts of candles by TradingView Lightweight Charts™,
      <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer noopener">tradingview.com</a>.
    </p>
    <button
      class="button"
      onClick=${() => {
        box.current.close();
        close();
      }}
    >
      Close
    </button>
  </dialog>`;
}

/** The next or previous instrument. */
export function neighbourInstrument(by) {
  const { symbol, count } = instruments.peek() ?? {};
  if (count) selected.value = symbol[(inst.peek() + by + count) % count];
}
