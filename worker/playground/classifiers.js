/**
 * The page of classifiers: train one, see how good it is, try it. The chosen one is the fragment of the address.
 * @module
 */
import { initialApiKey } from './api-key.js';
import { classifierList } from './classifier-list.js';
import { classifierView } from './classifier-view.js';
import { trainingForm } from './training-form.js';
import { tryForm } from './try-form.js';

const element = (id) => document.getElementById(id);
const key = element('key');
key.value = initialApiKey();
const apiKey = () => key.value;

const chosen = () => decodeURIComponent(location.hash.slice(1)) || null;
const choose = (id) => {
  history.pushState(null, '', id === null ? location.pathname : `#${encodeURIComponent(id)}`);
  showChosen();
};

const list = classifierList(element('list'), {
  apiKey,
  chosen,
  onChoose: choose,
  onDeleted: (id) => id === chosen() && choose(null),
});
const view = classifierView(element('view'), { apiKey, onChanged: () => void list.refresh() });
const tried = tryForm(element('try'), { apiKey, chosen });
trainingForm(element('train'), {
  apiKey,
  onCreated: ({ id }) => {
    choose(id);
    // The form that had the focus is folded away.
    element('view-heading').focus();
    void list.refresh();
  },
});

function showChosen() {
  const id = chosen();
  list.mark();
  view.show(id);
  tried.update();
  element('training').open = id === null;
}

window.addEventListener('popstate', showChosen);
key.addEventListener('change', () => {
  void list.refresh();
  showChosen();
});
element('new-classifier').addEventListener('click', () => {
  choose(null);
  element('training').open = true;
  element('name').focus();
});
void list.refresh();
showChosen();
