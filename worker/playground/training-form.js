/**
 * Examples of a new classifier, and the upload that trains it.
 * @module
 */
import { callApi } from './classifier-api.js';
import { curlBox } from './curl-box.js';
import { showFailure } from './dom.js';
import { examplesField } from './examples-field.js';

/** What a shop hears, for those who want to see before they collect texts of their own. */
const EXAMPLE = {
  name: 'shop',
  labels: {
    refund: [
      'I want my money back',
      'When do I get my refund?',
      'Please refund the shoes I sent back',
      'The refund for my order has not come',
      'How do I return this and get my money?',
      'You charged me twice, give one back',
    ],
    delivery: [
      'Where is my parcel?',
      'My order has not arrived yet',
      'Can you deliver on Saturday?',
      'The tracking number does not work',
      'How long does shipping to Norway take?',
      'The courier left it with nobody',
    ],
    account: [
      'I forgot my password',
      'How do I change my email address?',
      'Please delete my account',
      'I cannot log in any more',
      'My account is locked',
      'Where do I update my phone number?',
    ],
  },
};

/**
 * @param {HTMLFormElement} form
 * @param {{ apiKey: () => string, onCreated: (classifier: object) => void }} page
 */
export function trainingForm(form, { apiKey, onCreated }) {
  const { name, train, fill } = form.elements;
  const multiLabel = form.elements['multi-label'];
  const failure = form.querySelector('[role="alert"]');
  const showCurl = curlBox(form.querySelector('.terminal'));

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

  const field = examplesField(form, {
    isMultiLabel: () => multiLabel.checked,
    onChange: () => void showCommand(),
    onFile: (file) => {
      failure.textContent = '';
      name.value ||= file.name.replace(/\.[^.]+$/, '');
    },
    failure,
  });

  const showCommand = async () => showCurl({ url: location.origin + uploadPath(), ...(await field.forCommand()) });

  const submit = async () => {
    const call = { apiKey: apiKey(), method: 'POST', ...(await field.upload()) };
    onCreated(await callApi(uploadPath(), call));
    name.value = '';
    field.clear();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    train.disabled = true;
    void showFailure(failure, submit, (error) => (error.param === 'name' ? name : field.fieldOf(error))).then(() => {
      train.disabled = false;
    });
  });
  fill.addEventListener('click', () => {
    const lines = Object.entries(EXAMPLE.labels).flatMap(([label, texts]) => texts.map((text) => `"${text}",${label}`));
    name.value ||= EXAMPLE.name;
    field.fill(['text,label', ...lines].join('\n'));
    train.focus();
  });
  void field.show();
  // Before this a click would send the form in the browser's own way, which the page does not allow: it would be lost.
  train.disabled = false;
}
