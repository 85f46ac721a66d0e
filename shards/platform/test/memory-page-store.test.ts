import { MemoryPageStore } from '../memory-page-store.ts';
import { pageStoreSuite, SUITE_LIMITS } from './page-store-suite.ts';

pageStoreSuite(async (clock, use) => {
  await use({ store: new MemoryPageStore({ clock, ...SUITE_LIMITS }), settle: () => Promise.resolve() });
});
