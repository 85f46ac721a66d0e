/**
 * A field for examples, from the keyboard or a file. Every form that takes some has one.
 * @module
 */
import { clearInvalid, showFailure } from './dom.js';
import { FORMATS, formatOf, lineRange, tabToJsonLines } from './example-lines.js';

/** Files up to here are put into the text field, where they can be read and edited; larger ones are sent as they are. */
const EDITABLE_BYTES_MAX = 256 * 1024;
/** What the API says about a file, which has no field. */
const CODES = ['invalid_csv', 'invalid_csv_header', 'invalid_jsonl', 'invalid_example', 'invalid_encoding'];
/** Of a large file, what is looked at to tell its format. */
const SAMPLE_BYTES = 64 * 1024;

/**
 * @param {HTMLFormElement} form with a place for the field, `.examples-field`
 * @param {{ isMultiLabel: () => boolean, onChange: () => void, onFile?: (file: File) => void, failure: HTMLElement }} use
 *   `failure` is the form's alert
 */
export function examplesField(form, { isMultiLabel, onChange, onFile, failure }) {
  const place = form.querySelector('.examples-field');
  place.replaceChildren(document.getElementById('examples-field').content.cloneNode(true));
  const { examples, file, discard } = form.elements;
  const hint = place.querySelector('.hint');
  hint.id = `${form.id}-hint`;
  examples.setAttribute('aria-describedby', hint.id);
  const readAs = place.querySelector('.read-as');
  /** A file that is too large for the text field. */
  let heldFile = null;

  const sample = async () => (heldFile === null ? examples.value : heldFile.slice(0, SAMPLE_BYTES).text());

  const bodyAs = async (format) => {
    const source = heldFile ?? examples.value;
    return format === 'tab'
      ? tabToJsonLines(typeof source === 'string' ? source : await source.text(), isMultiLabel())
      : source;
  };

  const show = async () => {
    const format = formatOf(await sample());
    const what = heldFile === null ? '' : `${heldFile.name}, `;
    readAs.textContent = format === null ? '' : `Read as ${what}${FORMATS[format].name}.`;
    discard.hidden = heldFile === null;
    examples.disabled = heldFile !== null;
    examples.required = heldFile === null;
    onChange();
  };

  const hold = (taken) => {
    heldFile = taken;
    clearInvalid(examples);
    return show();
  };

  const take = async (taken) => {
    const isEditable = taken.size <= EDITABLE_BYTES_MAX;
    examples.value = isEditable ? await taken.text() : '';
    onFile?.(taken);
    await hold(isEditable ? null : taken);
  };
  const tryTake = (taken) => void showFailure(failure, () => take(taken));

  form.addEventListener('input', (event) => {
    if (event.target !== file) {
      void show();
    }
  });
  file.addEventListener('change', () => {
    const [taken] = file.files;
    if (taken !== undefined) {
      tryTake(taken);
    }
    // So that the same file may be chosen again, after it was edited.
    file.value = '';
  });
  discard.addEventListener('click', () => {
    void hold(null);
    examples.focus();
  });
  acceptDrops(form, tryTake);

  return {
    show,
    /** @returns {Promise<{ contentType: string, body: BodyInit }>} what is sent. @throws {Error} naming the line that is wrong */
    async upload() {
      const format = formatOf(await sample()) ?? 'csv';
      return { contentType: FORMATS[format].contentType, body: await bodyAs(format) };
    },
    /** @returns {Promise<{ contentType: string, body: string | null, file: string }>} as a command has it */
    async forCommand() {
      const format = formatOf(await sample());
      const { contentType, file: name } = FORMATS[format ?? 'csv'];
      const isShown = format !== null && heldFile === null;
      return { contentType, body: isShown ? await bodyAs(format).catch(() => null) : null, file: name };
    },
    /** The field, where an error is about examples: its line is chosen where the error names one. */
    fieldOf({ message, param, code }) {
      // Lines with Tabs are checked here: such an error is none of the API's.
      const isMine = code === undefined || param?.startsWith('examples') || CODES.includes(code);
      if (!isMine) {
        return null;
      }
      const line = /\bline (\d+)/i.exec(message)?.[1];
      const range = line === undefined ? null : lineRange(examples.value, Number(line));
      if (range !== null) {
        examples.setSelectionRange(range.start, range.end);
      }
      return examples;
    },
    fill(text) {
      examples.value = text;
      void hold(null);
    },
    clear() {
      this.fill('');
    },
  };
}

/** The whole form is the target: a file that misses it would replace the page. */
function acceptDrops(form, take) {
  const mark = (isOver) => form.classList.toggle('drop', isOver);
  form.addEventListener('dragover', (event) => {
    if (event.dataTransfer.types.includes('Files')) {
      event.preventDefault();
      mark(true);
    }
  });
  form.addEventListener('dragleave', () => mark(false));
  form.addEventListener('drop', (event) => {
    mark(false);
    const [taken] = event.dataTransfer.files;
    if (taken !== undefined) {
      event.preventDefault();
      take(taken);
    }
  });
}
