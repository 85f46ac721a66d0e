/**
 * One classifier: its training while it lasts, then its report.
 * @module
 */
import { callApi, classifierPath, watchClassifier } from './classifier-api.js';
import { make, number, showFailure } from './dom.js';
import { trainingReport } from './training-report.js';

/**
 * @param {HTMLElement} place
 * @param {{ apiKey: () => string, onChanged: () => void }} page
 */
export function classifierView(place, page) {
  const heading = place.querySelector('h2');
  const training = place.querySelector('.training');
  const report = place.querySelector('.report');
  const failure = place.querySelector('[role="alert"]');
  /** Ends the watch of the classifier that was shown before. */
  let watch = new AbortController();

  const showProgress = ({ name, progress }) => {
    heading.textContent = name;
    training.hidden = progress === null;
    if (progress === null) {
      return;
    }
    const { phase, fraction, num_features: done, num_examples: all } = progress;
    training.querySelector('progress').value = fraction;
    training.querySelector('.phase').textContent =
      phase === 'features' ? `Reading the examples: ${number(done)} of ${number(all)}` : 'Fitting and validating';
  };

  const showReport = async ({ id, status, error }, call) => {
    if (error !== null) {
      failure.textContent = error;
    }
    if (status === 'ready') {
      const found = await callApi(`${classifierPath(id)}/report`, call);
      const version = make(
        'p',
        { className: 'note' },
        `Version ${found.version}, id ${id}. Measured on examples that it had not seen.`,
      );
      report.replaceChildren(version, ...trainingReport(found));
    }
  };

  const follow = async (id, call) => {
    let last = null;
    let numChanges = -1;
    for await (const classifier of watchClassifier(id, call)) {
      last = classifier;
      numChanges += 1;
      showProgress(classifier);
    }
    if (last !== null) {
      await showReport(last, call);
      if (numChanges > 0) {
        page.onChanged();
      }
    }
  };

  return {
    /** @param {string | null} id null hides the place */
    show(id) {
      watch.abort();
      watch = new AbortController();
      report.replaceChildren();
      training.hidden = true;
      failure.textContent = '';
      place.hidden = id === null;
      if (id !== null) {
        heading.textContent = id;
        void showFailure(failure, () => follow(id, { apiKey: page.apiKey(), signal: watch.signal }));
      }
    },
  };
}
