/**
 * The classifiers of the key: choose one, or delete it.
 * @module
 */
import { callApi, classifierPath } from './classifier-api.js';
import { make, number, percent, showFailure } from './dom.js';

/**
 * @param {HTMLElement} place
 * @param {{ apiKey: () => string, chosen: () => string | null, onChoose: (id: string) => void, onDeleted: (id: string) => void }} page
 */
export function classifierList(place, page) {
  const list = place.querySelector('ul');
  const more = place.querySelector('#more');
  const failure = place.querySelector('[role="alert"]');
  let lastId = null;

  const load = async (after) => {
    const query = after === null ? '' : `?after=${encodeURIComponent(after)}`;
    const {
      data,
      has_more: hasMore,
      last_id: last,
    } = await callApi(`/v1/classifiers${query}`, { apiKey: page.apiKey() });
    const focusedId = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    if (after === null) {
      list.replaceChildren();
    }
    list.append(...data.map(row));
    // Whoever stands on a classifier still does when the list is read again.
    [...list.querySelectorAll('.choose')].find(({ dataset }) => dataset.id === focusedId)?.focus();
    lastId = last;
    more.hidden = !hasMore;
    place.querySelector('.empty').hidden = list.childElementCount > 0;
    mark();
  };

  const row = (classifier) => {
    const { id, name } = classifier;
    const choose = make(
      'button',
      { type: 'button', className: 'choose' },
      make('strong', {}, name),
      make('span', {}, about(classifier)),
    );
    choose.dataset.id = id;
    choose.addEventListener('click', () => page.onChoose(id));
    const remove = make('button', { type: 'button', ariaLabel: `Delete ${name}`, title: `Delete ${name}` }, '×');
    remove.addEventListener('click', () => void showFailure(failure, () => removeClassifier(classifier)));
    return make('li', {}, choose, remove);
  };

  const removeClassifier = async ({ id, name }) => {
    if (!confirm(`Delete the classifier “${name}” and its examples?`)) {
      return;
    }
    await callApi(classifierPath(id), { apiKey: page.apiKey(), method: 'DELETE' });
    page.onDeleted(id);
    await load(null);
  };

  const mark = () => {
    for (const button of list.querySelectorAll('.choose')) {
      button.ariaCurrent = String(button.dataset.id === page.chosen());
    }
  };

  more.addEventListener('click', () => void showFailure(failure, () => load(lastId)));
  return { mark, refresh: () => showFailure(failure, () => load(null)) };
}

function about({ status, num_examples: numExamples, versions }) {
  const accuracy = versions.at(-1)?.accuracy ?? null;
  const found = status === 'ready' ? `accuracy ${percent(accuracy)}` : status;
  return `${number(numExamples)} examples, ${found}`;
}
