/**
 * One classifier: its training while it lasts, its versions, the report of the one that is chosen, and what can be done with
 * it.
 * @module
 */
import { callApi, classifierPath, downloadFile, watchClassifier } from './classifier-api.js';
import { make, number, showFailure } from './dom.js';
import { retrainingForm } from './retraining-form.js';
import { trainingReport } from './training-report.js';
import { versionTable } from './version-table.js';

/** A file stays at hand for so long after its download was asked for. */
const DOWNLOAD_MS = 60_000;

/**
 * @param {HTMLElement} place
 * @param {{ apiKey: () => string, confirm: (question: string) => Promise<boolean>, onChanged: () => void,
 *   onVersion: (version: number | null) => void, onDeleted: () => void }} page
 */
export function classifierView(place, page) {
  const heading = place.querySelector('h2');
  const about = place.querySelector('.about');
  const training = place.querySelector('.training');
  const report = place.querySelector('.report');
  const failure = place.querySelector('.view-failure');
  const versions = versionTable(place.querySelector('.versions'), { onChoose: page.onVersion });
  const [exported, removed] = [place.querySelector('[name="export"]'), place.querySelector('[name="delete"]')];
  /** Ends the watch of the classifier that was shown before. */
  let watch = new AbortController();
  /** The one that is shown, as it was last heard of; null until then. */
  let classifier = null;
  let chosenId = null;
  let chosenVersion = null;

  const retraining = retrainingForm(place.querySelector('.retraining'), {
    apiKey: page.apiKey,
    // Where the progress is: the form that had the focus is folded away.
    onTraining: () => heading.focus(),
    onChanged: (changed) => {
      show(changed);
      page.onChanged();
      if (changed.status === 'training') {
        start();
      }
    },
  });

  const show = (found) => {
    classifier = found;
    const { name, id, num_examples: numExamples, multi_label: isMultiLabel, progress, status } = found;
    heading.textContent = name;
    const kind = isMultiLabel ? 'several labels to a text' : 'one label to a text';
    about.textContent = `${number(numExamples)} examples, ${kind} · ${id}`;
    exported.hidden = found.versions.length === 0;
    place.querySelector('.retraining').hidden = status === 'uploading';
    versions.show(found.versions, chosenVersion);
    retraining.show(found);
    training.hidden = progress === null;
    if (progress !== null) {
      showProgress(progress);
    }
  };

  const showProgress = ({ phase, fraction, num_features: done, num_examples: all }) => {
    training.querySelector('progress').value = fraction;
    training.querySelector('.phase').textContent =
      phase === 'features' ? `Reading the examples: ${number(done)} of ${number(all)}` : 'Fitting and validating';
  };

  const showReport = async (call) => {
    if (classifier.versions.length === 0) {
      return;
    }
    const query = chosenVersion === null ? '' : `?version=${chosenVersion}`;
    const found = await callApi(`${classifierPath(classifier.id)}/report${query}`, call);
    const measured =
      found.num_examples === 0
        ? `Version ${found.version} was imported: what it is worth was measured elsewhere.`
        : `Version ${found.version}, measured on examples that it had not seen.`;
    report.replaceChildren(
      make('h3', {}, 'Report'),
      make('p', { className: 'note' }, measured),
      ...(found.num_examples === 0 ? [] : trainingReport(found)),
    );
  };

  const follow = async (id, call) => {
    // While a version is trained the one before it can still be looked at.
    let isReported = false;
    let numChanges = -1;
    for await (const found of watchClassifier(id, call)) {
      numChanges += 1;
      show(found);
      if (!isReported) {
        isReported = true;
        await showReport(call);
      }
    }
    if (classifier?.error) {
      failure.textContent = classifier.error;
    }
    if (numChanges > 0) {
      await showReport(call);
      page.onChanged();
    }
  };

  const start = () => {
    watch.abort();
    watch = new AbortController();
    const call = { apiKey: page.apiKey(), signal: watch.signal };
    void showFailure(failure, () => follow(chosenId, call));
  };

  const download = async () => {
    const query = chosenVersion === null ? '' : `?version=${chosenVersion}`;
    const path = `${classifierPath(classifier.id)}/export${query}`;
    const { blob, name } = await downloadFile(path, { apiKey: page.apiKey() });
    const link = make('a', { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), DOWNLOAD_MS);
  };

  const remove = async () => {
    const { name, num_examples: numExamples, id } = classifier;
    const question = `Delete “${name}” with its ${number(numExamples)} examples and all of its versions? Nothing of it can be brought back.`;
    if (await page.confirm(question)) {
      await callApi(classifierPath(id), { apiKey: page.apiKey(), method: 'DELETE' });
      page.onDeleted();
    }
  };

  exported.addEventListener('click', () => void showFailure(failure, download));
  removed.addEventListener('click', () => void showFailure(failure, remove));

  return {
    /** Another key may not know what was shown. */
    forget() {
      classifier = null;
    },
    /** @param {{ id: string | null, version: number | null }} chosen without an id the place is hidden */
    show({ id, version }) {
      const isSame = id !== null && id === classifier?.id;
      chosenId = id;
      chosenVersion = version;
      place.hidden = id === null;
      if (isSame && classifier.progress === null) {
        show(classifier);
        void showFailure(failure, () => showReport({ apiKey: page.apiKey(), signal: watch.signal }));
        return;
      }
      watch.abort();
      classifier = null;
      report.replaceChildren();
      training.hidden = true;
      exported.hidden = true;
      place.querySelector('.retraining').hidden = true;
      versions.show([], null);
      failure.textContent = '';
      about.textContent = '';
      if (id !== null) {
        heading.textContent = id;
        start();
      }
    },
  };
}
