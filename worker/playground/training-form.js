/**
 * Examples from the keyboard or a file, and the upload that trains a classifier.
 * @module
 */
import { callApi } from './classifier-api.js';
import { curlBox } from './curl-box.js';
import { showFailure } from './dom.js';
import { FORMATS, formatOf, tabToJsonLines } from './example-lines.js';

/** Files up to here are put into the text field, where they can be read and edited; larger ones are sent as they are. */
const EDITABLE_BYTES_MAX = 256 * 1024;
/** Of a large file, what is looked at to tell its format. */
const SAMPLE_BYTES = 64 * 1024;

/**
 * @param {HTMLFormElement} form
 * @param {{ apiKey: () => string, onCreated: (classifier: object) => void }} page
 */
export function trainingForm(form, { apiKey, onCreated }) {
  const { name, examples, file, discard, train } = form.elements;
  const multiLabel = form.elements['multi-label'];
  const readAs = form.querySelector('.read-as');
  const failure = form.querySelector('[role="alert"]');
  const showCurl = curlBox(form.querySelector('.terminal'));
  /** A file that is too large for the text field. */
  let heldFile = null;

  const sample = async () => (heldFile === null ? examples.value : heldFile.slice(0, SAMPLE_BYTES).text());

  const show = async () => {
    const format = formatOf(await sample());
    const what = heldFile === null ? '' : `${heldFile.name}, `;
    readAs.textContent = format === null ? '' : `Read as ${what}${FORMATS[format].name}.`;
    discard.hidden = heldFile === null;
    examples.disabled = heldFile !== null;
    examples.required = heldFile === null;
    const { contentType, file: fileName } = FORMATS[format ?? 'csv'];
    const isShown = format !== null && heldFile === null;
    const body = isShown ? await uploadBody(format).catch(() => null) : null;
    showCurl({ url: location.origin + uploadPath(), contentType, body, file: fileName });
  };

  const uploadPath = () => {
    const query = new URLSearchParams();
    if (name.value.trim() !== '') {
      query.set('name', name.value.trim());
    }
    if (multiLabel.checked) {
      query.set('multi_label', 'true');
    }
    return `/v1/classifiers${query.size === 0 ? '' : `?${query}`}`;
  };

  const uploadBody = async (format) => {
    const source = heldFile ?? examples.value;
    return format === 'tab'
      ? tabToJsonLines(typeof source === 'string' ? source : await source.text(), multiLabel.checked)
      : source;
  };

  const take = async (taken) => {
    failure.textContent = '';
    if (taken.size > EDITABLE_BYTES_MAX) {
      heldFile = taken;
      examples.value = '';
    } else {
      heldFile = null;
      examples.value = await taken.text();
    }
    name.value ||= taken.name.replace(/\.[^.]+$/, '');
    await show();
  };

  const submit = async () => {
    const format = formatOf(await sample()) ?? 'csv';
    const { contentType } = FORMATS[format];
    const body = await uploadBody(format);
    onCreated(await callApi(uploadPath(), { apiKey: apiKey(), method: 'POST', contentType, body }));
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    train.disabled = true;
    void showFailure(failure, submit).then(() => {
      train.disabled = false;
    });
  });
  form.addEventListener('input', (event) => {
    if (event.target !== file) {
      void show();
    }
  });
  file.addEventListener('change', () => {
    const [taken] = file.files;
    if (taken !== undefined) {
      void showFailure(failure, () => take(taken));
    }
    // So that the same file may be chosen again, after it was edited.
    file.value = '';
  });
  discard.addEventListener('click', () => {
    heldFile = null;
    void show();
  });
  acceptDrops(form, (taken) => void showFailure(failure, () => take(taken)));
  void show();
  // Before this a click would send the form in the browser's own way, which the page does not allow: it would be lost.
  train.disabled = false;
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
