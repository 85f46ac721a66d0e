/**
 * Elements in few words.
 * @module
 */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties of the element; `null` leaves one out
 * @param {...(Node | string)} children strings become text, never markup
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value !== null) {
      element[name] = value;
    }
  }
  element.append(...children);
  return element;
}

/** @param {number | null} share 0 to 1; null is what was not measured */
export const percent = (share) => (share === null ? '–' : `${(share * 100).toFixed(1)} %`);

/** @param {number} value */
export const number = (value) => value.toLocaleString('en');

/** Runs what a page does on its own or for an event, and shows a failure where its readers look. */
export async function showFailure(place, work) {
  place.textContent = '';
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError') {
      place.textContent = error.message;
    }
    return null;
  }
}
