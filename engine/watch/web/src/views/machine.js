// The time machine: a slider over the run, typed time, steps, another run, and the way back.
import { html, useEffect, useSignal } from '../ui/html.js';
import { Empty } from '../ui/parts.js';
import { say, useResource } from '../api.js';
import { clock, day, parseClock } from '../format.js';
import { step } from '../navigation.js';
import { at, destination, isFollowed, isPast, moment, openRun, run, session, span, travel, travelTrouble } from '../state.js';

const STEPS = [
  [-600, '−10 min'],
  [-60, '−1 min'],
  [-1, '−1 s'],
  [1, '+1 s'],
  [60, '+1 min'],
  [600, '+10 min'],
];

export function Banner() {
  if (!isPast.value && isFollowed.value) return null;
  const us = at.value ?? moment.value?.now_us;
  return html`<div class="banner" role="status">
    <span class="banner-mark" aria-hidden="true">◷</span> <b>${isPast.value ? 'Time machine' : 'Stored run'}</b>
    <span
      >everything shows ${isFollowed.value ? '' : html`run <b>${run.value}</b> at `} <b class="num">${clock(us)}</b> of ${day(us)},
      as the engine knew it. Operations are off.</span
    >
    <button class="button main" onClick=${backToLive}>Back to live</button>
  </div>`;
}

export async function backToLive() {
  if (isFollowed.value) travel(null);
  else await openRun('').catch((error) => say(error.message, 'error'));
}

export function Machine() {
  const { first, last } = span.value;
  const shown = destination.value ?? at.value ?? last;
  const typed = useSignal(null),
    drag = useSignal(null);
  useEffect(() => {
    drag.value = null;
  }, [at.value]);
  const go = (event) => {
    event.preventDefault();
    const us = parseClock(typed.value ?? '', shown);
    if (us === null) say('Type a time as 10:31 or 10:31:07.', 'error');
    else travel(us);
    typed.value = null;
  };
  const position = drag.value ?? shown;
  return html`<section class="machine" aria-label="Time machine">
    <${RunPicker} />
    <div class="machine-slider">
      <span class="num faint">${clock(first)}</span>
      <input
        type="range"
        min=${Math.floor(first / 1e6)}
        max=${Math.max(Math.ceil(last / 1e6), Math.floor(first / 1e6) + 1)}
        step="1"
        value=${Math.round(position / 1e6)}
        aria-label="Moment of the run"
        aria-valuetext=${clock(position)}
        onInput=${(event) => {
          drag.value = Number(event.currentTarget.value) * 1e6;
          travel(drag.value);
        }}
      />
      <span class="num faint">${clock(last)}</span>
    </div>
    <div class="machine-steps" role="group" aria-label="Steps">
      ${STEPS.map(
        ([seconds, text]) => html`<button key=${text} class="toggle num" onClick=${() => step(seconds)}>${text}</button>`,
      )}
    </div>
    <form onSubmit=${go}>
      <input
        class="num time-input"
        aria-label="Time of day"
        placeholder="HH:MM:SS"
        size="8"
        value=${typed.value ?? clock(position)}
        onFocus=${(event) => event.currentTarget.select()}
        onInput=${(event) => {
          typed.value = event.currentTarget.value;
        }}
        onBlur=${() => {
          typed.value = null;
        }}
      /><button class="button" onMouseDown=${(event) => event.preventDefault()}>Go</button>
    </form>
    <button class="button" disabled=${!isPast.value && isFollowed.value} onClick=${backToLive}>Live</button>
    ${travelTrouble.value && html`<${Empty} kind="error">${travelTrouble.value}<//>`}
  </section>`;
}

function RunPicker() {
  const runs = useResource('runs');
  const rows = runs.data?.rows ?? [];
  const choose = (event) => openRun(event.currentTarget.value).catch((error) => say(error.message, 'error'));
  return html`<label class="inline"
    ><span class="sr">Run</span
    ><select aria-label="Run" value=${run.value} onChange=${choose}>
      <option value="">${session.value.run} (followed)</option>
      ${rows
        .filter((row) => row.name !== session.value.run && !['backtest', 'whatif'].includes(row.kind))
        .map((row) => html`<option key=${row.name} value=${row.name}>${row.name}</option>`)}
    </select></label
  >`;
}
