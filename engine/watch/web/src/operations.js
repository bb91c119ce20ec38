// Operations in two steps: the server says what will happen, a person confirms it. Kill and flatten want their word typed.
import { html, signal, useEffect, useRef, useSignal } from './ui/html.js';
import { post, say } from './api.js';

const VALID_S = 30;
const TYPED = new Set(['kill', 'flatten']);
export const OPERATIONS = {
  pause: ['Pause', 'No new entries; positions are kept and protected'],
  resume: ['Resume', 'Entries again'],
  flatten: ['Flatten', 'Close every position at the market'],
  kill: ['Kill', 'Stop the engine, cancel every order, close every position'],
  promote: ['Promote', 'Make a shadow model the one that decides'],
  rollback: ['Roll back', 'Back to the model before'],
  acknowledge: ['Acknowledge', 'Says that a person has seen the alert'],
};
const asked = signal(null); // {operation, argument, words, confirm, until, resolve}

/** Asks, shows the dialog, and gives whether it was done. */
export async function confirmed(operation, argument = '') {
  try {
    const answer = await post('operations', { operation, argument });
    return await new Promise((resolve) => {
      asked.value = { operation, argument, ...answer, until: performance.now() + VALID_S * 1000, resolve };
    });
  } catch (error) {
    say(error.message, 'error');
    return false;
  }
}

export function ConfirmDialog() {
  const box = useRef(null),
    typed = useSignal(''),
    busy = useSignal(false),
    left = useSignal(VALID_S);
  const what = asked.value;
  useEffect(() => {
    if (!what) return undefined;
    typed.value = '';
    busy.value = false;
    left.value = VALID_S;
    box.current.showModal();
    const timer = setInterval(() => {
      left.value = Math.ceil((what.until - performance.now()) / 1000);
      if (left.value <= 0) {
        say('The question ran out after 30 seconds: ask again.');
        finish(false);
      }
    }, 500);
    return () => clearInterval(timer);
  }, [what]);
  const finish = (isDone) => {
    asked.value = null;
    box.current?.close();
    what.resolve(isDone);
  };
  const confirm = async (event) => {
    event.preventDefault();
    busy.value = true;
    try {
      const answer = await post('operations/confirm', { confirm: what.confirm });
      say(answer.words || 'Done.', 'done');
      finish(true);
    } catch (error) {
      say(error.message, 'error');
      finish(false);
    }
  };
  if (!what) return null;
  const [name, meaning] = OPERATIONS[what.operation];
  const word = what.operation.toUpperCase(),
    mustType = TYPED.has(what.operation);
  return html`<dialog
    ref=${box}
    class=${`confirm ${mustType ? 'grave' : ''}`}
    aria-labelledby="confirm-title"
    onCancel=${(event) => {
      event.preventDefault();
      finish(false);
    }}
  >
    <form onSubmit=${confirm}>
      <h2 id="confirm-title">${name}${what.argument ? ` ${what.argument}` : ''}?</h2>
      <p class="faint">${meaning}.</p>
      <p class="confirm-words">${what.words}</p>
      ${
        mustType &&
        html`<label
          >Type <b>${word}</b> to go on<input
            value=${typed.value}
            autocomplete="off"
            autocapitalize="characters"
            spellcheck=${false}
            onInput=${(event) => {
              typed.value = event.currentTarget.value;
            }}
        /></label>`
      }
      <footer>
        <span class="faint num">${left.value} s left</span
        ><button type="button" class="button" onClick=${() => finish(false)}>Cancel</button>
        <button
          class=${`button ${mustType ? 'danger' : 'main'}`}
          disabled=${busy.value || (mustType && typed.value.trim().toUpperCase() !== word)}
        >
          ${busy.value ? 'Asking…' : name}
        </button>
      </footer>
    </form>
  </dialog>`;
}
