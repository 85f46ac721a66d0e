/**
 * Versions of a classifier side by side, and which of them is looked at and tried.
 * @module
 */
import { make, number, percent } from './dom.js';

const when = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/**
 * @param {HTMLElement} place
 * @param {{ onChoose: (version: number | null) => void }} page null is the latest, whichever that will be
 */
export function versionTable(place, { onChoose }) {
  const body = place.querySelector('tbody');

  place.addEventListener('change', ({ target }) => {
    const isLatest = target.closest('tr') === body.firstElementChild;
    onChoose(isLatest ? null : Number(target.value));
  });

  return {
    /**
     * @param {object[]} versions ascending
     * @param {number | null} chosen null for the latest
     */
    show(versions, chosen) {
      place.hidden = versions.length === 0;
      const focused = body.contains(document.activeElement) ? document.activeElement.value : null;
      const newestFirst = versions.toReversed();
      const checked = chosen ?? newestFirst[0]?.version;
      const best = Math.max(...versions.map(({ accuracy }) => accuracy ?? 0));
      body.replaceChildren(
        ...newestFirst.map((version, index) => row(version, { isLatest: index === 0, checked, best })),
      );
      body.querySelector(`[value="${focused}"]`)?.focus();
    },
  };
}

function row(summary, { isLatest, checked, best }) {
  const { version, created_at: createdAt, num_examples: numExamples, num_labels: numLabels, accuracy } = summary;
  const radio = make('input', { type: 'radio', name: 'version', value: String(version), checked: version === checked });
  const label = make('label', { className: 'check' }, radio, isLatest ? `${version}, the latest` : String(version));
  const bar = make('span', {
    className: accuracy !== null && accuracy === best ? 'bar best' : 'bar',
    ariaHidden: 'true',
  });
  bar.style.setProperty('--share', (accuracy ?? 0).toFixed(4));
  const measured = make('td', { className: 'measured' }, make('span', {}, percent(accuracy)), bar);
  const trained = make('td', {}, when.format(new Date(createdAt * 1000)));
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, label),
    measured,
    make('td', {}, number(numExamples)),
    make('td', {}, number(numLabels)),
    trained,
  );
}
