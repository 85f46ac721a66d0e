/**
 * The key that a page starts with.
 * @module
 */

/** The key that a local Lamina accepts; a deployed one refuses it. */
const LOCAL_API_KEY = 'sk-local';
const LOCAL_HOSTS = ['localhost', '127.0.0.1', '[::1]'];

/** @returns {string} empty where the user must give one */
export function initialApiKey() {
  return LOCAL_HOSTS.includes(location.hostname) ? LOCAL_API_KEY : '';
}
