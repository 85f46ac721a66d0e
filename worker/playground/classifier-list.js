/**
 * The classifiers of the key, to choose from.
 * @module
 */
import { callApi } from './classifier-api.js';
import { make, number, percent, showFailure } from './dom.js';

/**
 * @param {HTMLElement} place
 * @param {{ apiKey: () => string, chosen: () => string | null, onChoose: (id: string) => void }} page
 */
export function classifierList(place, page) {
  const list = place.querySelector('ul');
  const more = place.querySelector('#more');
  const empty = place.querySelector('.empty');
  const failure = place.querySelector('[role="alert"]');
  let lastId = null;

  const load = async (after) => {
    if (page.apiKey() === '') {
      list.replaceChildren();
      more.hidden = true;
      empty.hidden = false;
      empty.textContent = 'Give an API key to see them.';
      return;
    }
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
    empty.textContent = 'None yet.';
    empty.hidden = list.childElementCount > 0;
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
    return make('li', {}, choose);
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
  if (status !== 'ready') {
    return `${number(numExamples)} examples, ${status}`;
  }
  const accuracy = versions.at(-1)?.accuracy ?? null;
  const found = accuracy === null ? 'not validated' : `accuracy ${percent(accuracy)}`;
  return numExamples === 0 ? 'imported' : `${number(numExamples)} examples, ${found}`;
}
