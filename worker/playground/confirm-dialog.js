/**
 * A question before something is lost.
 * @module
 */

/**
 * @param {HTMLDialogElement} dialog with a text and two buttons, the first of which keeps everything as it is
 * @returns {(question: string) => Promise<boolean>} the focus returns to where it was
 */
export function confirmDialog(dialog) {
  const text = dialog.querySelector('p');
  const [keep, go] = dialog.querySelectorAll('button');
  let answer = null;
  const close = (isConfirmed) => {
    answer?.(isConfirmed);
    answer = null;
    dialog.close();
  };
  keep.addEventListener('click', () => close(false));
  go.addEventListener('click', () => close(true));
  // Escape, too, keeps everything.
  dialog.addEventListener('close', () => answer?.(false));
  return (question) => {
    text.textContent = question;
    dialog.showModal();
    keep.focus();
    return new Promise((resolve) => {
      answer = resolve;
    });
  };
}
