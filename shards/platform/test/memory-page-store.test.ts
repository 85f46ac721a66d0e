import { MemoryPageStore } from '../memory-page-store.ts';
import { pageStoreSuite, SUITE_PAGE_BYTES, SUITE_PAGES_MAX, SUITE_TTL_MS } from './page-store-suite.ts';

pageStoreSuite((clock) => {
  const store = new MemoryPageStore({ clock, bytesMax: SUITE_PAGES_MAX * SUITE_PAGE_BYTES, ttlMs: SUITE_TTL_MS });
  return Promise.resolve({ store, settle: () => Promise.resolve() });
});
