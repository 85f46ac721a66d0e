/** Which web pages may call the API from a browser. */
import type { Environment } from './keyring.ts';

const THIS_MACHINE = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/;

/**
 * Never "every origin": a key that somebody pasted into one page would be usable from all of them.
 * @param allowedOrigins exact origins, such as `https://app.example.com`.
 */
export function isAllowedOrigin(origin: string, environment: Environment, allowedOrigins: readonly string[]): boolean {
  return allowedOrigins.includes(origin) || (environment === 'local' && THIS_MACHINE.test(origin));
}
