/**
 * More examples for the classifier that is shown, and another training of it.
 * @module
 */
import { callApi, classifierPath } from './classifier-api.js';
import { curlBox } from './curl-box.js';
import { number, showFailure } from './dom.js';
import { examplesField } from './examples-field.js';

/**
 * @param {HTMLElement} place with the form, and a button that trains beside it
 * @param {{ apiKey: () => string, onChanged: (classifier: object) => void, onTraining: () => void }} page
 */
export function retrainingForm(place, { apiKey, onChanged, onTraining }) {
  const form = place.querySelector('form');
  const again = place.querySelector('[name="train-again"]');
  const pending = place.querySelector('.pending');
  const [added, failure, trainFailure] = [
    form.querySelector('.added'),
    form.querySelector('[role="alert"]'),
    place.querySelector('.train-failure'),
  ];
  const showCurl = curlBox(form.querySelector('.terminal'));
  const buttons = [form.elements.add, form.elements['add-and-train'], again];
  /** As it was last heard of. */
  let classifier = null;

  const examplesPath = () => `${classifierPath(classifier?.id ?? '')}/examples`;
  const field = examplesField(form, {
    isMultiLabel: () => classifier?.multi_label === true,
    onChange: () => void showCommand(),
    failure,
  });
  const showCommand = async () => showCurl({ url: location.origin + examplesPath(), ...(await field.forCommand()) });

  const add = async () => {
    const before = classifier.num_examples;
    const call = { apiKey: apiKey(), method: 'POST', ...(await field.upload()) };
    const changed = await callApi(examplesPath(), call);
    field.clear();
    added.textContent = `${number(changed.num_examples - before)} examples added.`;
    onChanged(changed);
  };

  const train = async () =>
    onChanged(await callApi(`${classifierPath(classifier.id)}/train`, { apiKey: apiKey(), method: 'POST' }));

  /** One thing at a time: until it is over no button does anything. */
  const run = async (where, work, fieldOf) => {
    added.textContent = '';
    buttons.forEach((button) => (button.disabled = true));
    await showFailure(where, work, fieldOf);
    enable();
  };

  const enable = () => {
    const isTraining = classifier?.status === 'training';
    form.elements.add.disabled = false;
    form.elements['add-and-train'].disabled = isTraining;
    again.disabled = isTraining;
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const isTrained = event.submitter === form.elements['add-and-train'];
    void run(
      failure,
      async () => {
        await add();
        if (isTrained) {
          await train();
          form.closest('details').open = false;
          onTraining();
        }
      },
      (error) => field.fieldOf(error),
    );
  });
  again.addEventListener('click', () => void run(trainFailure, train));

  return {
    /** @param {object} shown the classifier; another one than before empties the form */
    show(shown) {
      if (shown.id !== classifier?.id) {
        field.clear();
        form.closest('details').open = false;
        [added, failure, trainFailure].forEach((said) => (said.textContent = ''));
      }
      classifier = shown;
      const learnt = shown.versions.at(-1)?.num_examples ?? 0;
      const numPending = shown.num_examples - learnt;
      pending.textContent =
        shown.status === 'training' || numPending <= 0
          ? ''
          : `${number(numPending)} examples are newer than the latest version. Train again to learn from them.`;
      enable();
      void showCommand();
    },
  };
}
