/**
 * The command for what is on the screen, and a button that copies it.
 * @module
 */
import { curlCommand } from './curl-command.js';

/**
 * @param {HTMLElement} box with a `code` and a `button`
 * @returns {(request: Parameters<typeof curlCommand>[0]) => void} shows the command of a request
 */
export function curlBox(box) {
  const code = box.querySelector('code');
  const button = box.querySelector('button');
  const said = box.querySelector('[role="status"]');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      said.textContent = 'Copied.';
    } catch {
      // Without HTTPS, or without permission, a page may not write to the clipboard.
      getSelection().selectAllChildren(code);
      said.textContent = 'Selected: copy it with your keyboard.';
    }
  };
  button.addEventListener('click', () => void copy());
  return (request) => {
    code.textContent = curlCommand(request);
    said.textContent = '';
  };
}
