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

/**
 * Runs what a page does on its own or for an event, and shows a failure where its readers look.
 * @param {HTMLElement} place an alert
 * @param {() => Promise<unknown>} work
 * @param {(error: Error & { param?: string | null, code?: string | null }) => HTMLElement | null} fieldOf the field that is
 *   wrong, which then has the focus, until it is changed
 */
export async function showFailure(place, work, fieldOf = () => null) {
  place.textContent = '';
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'AbortError') {
      place.textContent = error.message;
      markInvalid(fieldOf(error), place);
    }
    return null;
  }
}

function markInvalid(field, place) {
  if (field === null || field.disabled) {
    return;
  }
  place.id ||= `failure-${document.querySelectorAll('[id^="failure-"]').length}`;
  field.setAttribute('aria-invalid', 'true');
  field.setAttribute('aria-errormessage', place.id);
  field.addEventListener('input', () => clearInvalid(field), { once: true });
  field.focus();
}

/** @param {HTMLElement} field */
export function clearInvalid(field) {
  field.removeAttribute('aria-invalid');
  field.removeAttribute('aria-errormessage');
}
