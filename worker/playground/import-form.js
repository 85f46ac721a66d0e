/**
 * Takes a classifier that was exported, here or elsewhere.
 * @module
 */
import { callApi } from './classifier-api.js';
import { showFailure } from './dom.js';

/**
 * @param {HTMLFormElement} form
 * @param {{ apiKey: () => string, onImported: (classifier: object) => void }} page
 */
export function importForm(form, { apiKey, onImported }) {
  const { name, file, take } = form.elements;
  const failure = form.querySelector('[role="alert"]');

  const submit = async () => {
    const [body] = file.files;
    const query = new URLSearchParams({ name: name.value.trim() || body.name.replace(/\.[^.]+$/, '') });
    const contentType = 'application/octet-stream';
    const call = { apiKey: apiKey(), method: 'POST', contentType, body };
    onImported(await callApi(`/v1/classifiers/import?${query}`, call));
    form.reset();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    take.disabled = true;
    const fieldOf = ({ param }) => (param === 'name' ? name : file);
    void showFailure(failure, submit, fieldOf).then(() => {
      take.disabled = false;
    });
  });
  take.disabled = false;
}
