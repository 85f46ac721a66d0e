/** The backend of a gateway without origins. */
import { OriginError, type OriginBackend } from '../origin/origin-backend.ts';

const refusal = (): OriginError => new OriginError('not_configured', 'No origin is configured.');

export const NO_ORIGINS: OriginBackend = {
  models: () => [],
  canServe: () => ({ ok: false, reason: 'not_configured' }),
  stream() {
    throw refusal();
  },
  call: () => Promise.reject(refusal()),
  health: () => [],
  probe: () => Promise.resolve(),
};
