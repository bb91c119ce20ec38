// A line between two panels that moves: by mouse, by finger, by arrow keys. Its place survives a reload.
import { pref } from '../prefs.js';
import { html, useRef } from './html.js';

const STEP = 2,
  LEAST = 15,
  MOST = 85;
const inside = (share) => Math.max(LEAST, Math.min(MOST, share));

/** `is` "columns" or "rows"; children are two. */
export function Split({ name, is, start = 55, children, label }) {
  const share = pref(`split.${name}`, start);
  const box = useRef(null);
  const [first, second] = children;
  const isColumns = is === 'columns';
  const onPointerDown = (event) => {
    event.preventDefault();
    const line = event.currentTarget;
    line.setPointerCapture(event.pointerId);
    const move = ({ clientX, clientY }) => {
      const area = box.current.getBoundingClientRect();
      share.value = inside(isColumns ? ((clientX - area.left) / area.width) * 100 : ((clientY - area.top) / area.height) * 100);
    };
    line.addEventListener('pointermove', move);
    line.addEventListener('lostpointercapture', () => line.removeEventListener('pointermove', move), { once: true });
  };
  const onKeyDown = (event) => {
    const step = { ArrowLeft: -STEP, ArrowUp: -STEP, ArrowRight: STEP, ArrowDown: STEP }[event.key];
    if (!step) return;
    event.preventDefault();
    share.value = inside(share.value + step);
  };
  const parts = `minmax(0, ${share.value}fr) 7px minmax(0, ${100 - share.value}fr)`;
  return html`<div
    class=${`split ${is}`}
    ref=${box}
    style=${isColumns ? { gridTemplateColumns: parts } : { gridTemplateRows: parts }}
  >
    ${first}
    <div
      class="split-line"
      role="separator"
      tabindex="0"
      aria-label=${label}
      aria-orientation=${isColumns ? 'vertical' : 'horizontal'}
      aria-valuenow=${Math.round(share.value)}
      aria-valuemin=${LEAST}
      aria-valuemax=${MOST}
      onPointerDown=${onPointerDown}
      onKeyDown=${onKeyDown}
      onDblClick=${() => {
        share.value = start;
      }}
    ></div>
    ${second}
  </div>`;
}
