/**
 * The page of classifiers: train one, see how good it is, try it, train it further. The fragment of the address says which
 * one is chosen, and which version of it where that is not the latest.
 * @module
 */
import { initialApiKey } from './api-key.js';
import { classifierList } from './classifier-list.js';
import { classifierView } from './classifier-view.js';
import { confirmDialog } from './confirm-dialog.js';
import { importForm } from './import-form.js';
import { trainingForm } from './training-form.js';
import { tryForm } from './try-form.js';

const element = (id) => document.getElementById(id);
const key = element('key');
key.value = initialApiKey();
const apiKey = () => key.value.trim();

/** @returns {{ id: string | null, version: number | null }} */
function chosen() {
  const [id = '', version] = decodeURIComponent(location.hash.slice(1)).split('@');
  return { id: id || null, version: /^[1-9]\d*$/.test(version ?? '') ? Number(version) : null };
}

/** @param {string | null} id @param {number | null} version null for the latest */
const choose = (id, version = null) => {
  const fragment = version === null ? id : `${id}@${version}`;
  history.pushState(null, '', id === null ? location.pathname : `#${encodeURIComponent(fragment)}`);
  showChosen();
};

const list = classifierList(element('list'), { apiKey, chosen: () => chosen().id, onChoose: choose });
const tried = tryForm(element('try'), { apiKey, chosen });
const view = classifierView(element('view'), {
  apiKey,
  confirm: confirmDialog(element('confirm')),
  onChanged: () => void list.refresh(),
  onVersion: (version) => choose(chosen().id, version),
  onDeleted: () => {
    choose(null);
    void list.refresh();
    element('new-classifier').focus();
  },
});

const showNew = ({ id }) => {
  choose(id);
  // The form that had the focus is folded away.
  element('view-heading').focus();
  void list.refresh();
};
trainingForm(element('train'), { apiKey, onCreated: showNew });
importForm(element('import'), { apiKey, onImported: showNew });

function showChosen() {
  const { id, version } = chosen();
  list.mark();
  view.show({ id, version });
  tried.update();
  element('training').open = id === null;
}

window.addEventListener('popstate', showChosen);
key.addEventListener('change', () => {
  void list.refresh();
  view.forget();
  showChosen();
});
element('new-classifier').addEventListener('click', () => {
  choose(null);
  element('training').open = true;
  element('name').focus();
});
void list.refresh();
showChosen();
