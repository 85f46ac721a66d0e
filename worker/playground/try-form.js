/**
 * Texts to classify, by the chosen classifier or by labels alone.
 * @module
 */
import { callApi } from './classifier-api.js';
import { curlBox } from './curl-box.js';
import { showFailure } from './dom.js';
import { textResults } from './text-results.js';

/** Labels whose scores are shown for each text. */
const TOP_K = 5;

/** Lines that hold something. */
const linesOf = (field) =>
  field.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** `refund: the customer wants money back` is a label and what it means. */
function labelOf(line) {
  const colon = line.indexOf(': ');
  return colon < 0 ? line : { name: line.slice(0, colon), description: line.slice(colon + 2) };
}

/**
 * @param {HTMLFormElement} form
 * @param {{ apiKey: () => string, chosen: () => { id: string | null, version: number | null } }} page
 */
export function tryForm(form, { apiKey, chosen }) {
  const { texts, labels, below, explain, ask } = form.elements;
  const outOfScope = form.elements['out-of-scope'];
  const results = form.querySelector('.results');
  const failure = form.querySelector('[role="alert"]');
  const status = form.querySelector('.asked');
  const showCurl = curlBox(form.querySelector('.terminal'));
  let running = new AbortController();

  const isByLabels = () => form.elements.by.value === 'labels';

  const classifierChosen = () => {
    const { id, version } = chosen();
    return { classifier: id ?? '', ...(version === null ? {} : { version }) };
  };

  const requestBody = () => {
    const abstain = {
      ...(below.valueAsNumber > 0 ? { below: below.valueAsNumber } : {}),
      ...(outOfScope.checked && !isByLabels() ? { out_of_scope: true } : {}),
    };
    return {
      input: linesOf(texts),
      ...(isByLabels() ? { labels: linesOf(labels).map(labelOf) } : classifierChosen()),
      top_k: TOP_K,
      ...(Object.keys(abstain).length === 0 ? {} : { abstain }),
      ...(explain.checked ? { explain: true } : {}),
    };
  };

  const show = () => {
    form.querySelector('.by-labels').hidden = !isByLabels();
    form.querySelector('.by-classifier').hidden = isByLabels();
    form.querySelector('output').textContent = below.valueAsNumber > 0 ? below.valueAsNumber.toFixed(2) : 'off';
    const body = JSON.stringify(requestBody());
    showCurl({ url: `${location.origin}/v1/classify`, contentType: 'application/json', body, file: 'request.json' });
  };

  const classify = async () => {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    status.textContent = 'Classifying …';
    try {
      const startMs = performance.now();
      const body = JSON.stringify(requestBody());
      const call = { apiKey: apiKey(), method: 'POST', contentType: 'application/json', body, signal };
      const answer = await callApi('/v1/classify', call);
      const seconds = ((performance.now() - startMs) / 1000).toFixed(2);
      results.replaceChildren(...textResults(JSON.parse(body).input, answer));
      status.textContent = `${answer.results.length} classified in ${seconds} s, ${answer.usage.prompt_tokens} tokens`;
    } catch (error) {
      if (!signal.aborted) {
        results.replaceChildren();
        status.textContent = '';
      }
      throw error;
    }
  };

  /** What another source found is no answer of this one. */
  const clear = () => {
    running.abort();
    results.replaceChildren();
    status.textContent = '';
    failure.textContent = '';
  };

  const fieldOf = ({ param }) => (param?.startsWith('labels') ? labels : param?.startsWith('input') ? texts : null);

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void showFailure(failure, classify, fieldOf);
  });
  form.addEventListener('input', show);
  // Whether a label is given is the server's to say: what is shown is asked again.
  below.addEventListener('change', () => {
    if (results.childElementCount > 0) {
      void showFailure(failure, classify);
    }
  });
  for (const radio of form.elements.by) {
    radio.addEventListener('change', clear);
  }
  texts.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      ask.click();
    }
  });
  show();
  // Like the button that trains: not before a click is heard.
  ask.disabled = false;
  return {
    /** Another classifier or version was chosen, or none is any more. */
    update() {
      const [classifier, byLabels] = form.elements.by;
      const { id, version } = chosen();
      classifier.disabled = id === null;
      classifier.nextElementSibling.textContent =
        version === null ? 'by the chosen classifier' : `by version ${version} of the chosen classifier`;
      (classifier.disabled ? byLabels : classifier).checked = true;
      clear();
      show();
    },
  };
}
