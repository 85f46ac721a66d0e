/** The other stages of a ring, behind their Durable Object stubs. */
import type {
  OpenStageRequest,
  OpenStageResult,
  PageEdit,
  PageEditResult,
  StageControl,
} from '../../link/ring-protocol.ts';
import type { LinkConnector } from '../link.ts';
import { WebSocketLink } from './websocket-link.ts';

/** Path of the upgrade request that opens a link. */
export const LINK_PATH = '/link';

/** What a stage's object offers to the others. Written out, since the class lives in another script. */
export interface ShardStub {
  fetch(url: string, init: { readonly headers: Readonly<Record<string, string>> }): Promise<Response>;
  openStage(request: OpenStageRequest): Promise<OpenStageResult>;
  editPages(edit: PageEdit): Promise<PageEditResult>;
}

/** Finds a stage's object. A stub is of no use after an exception, so each call takes a new one. */
export type FindShard = () => ShardStub;

export function shardControl(findShard: FindShard): StageControl {
  return {
    openStage: (request) => findShard().openStage(request),
    editPages: (edit) => findShard().editPages(edit),
  };
}

export function shardConnector(findShard: FindShard): LinkConnector {
  return async () => {
    const response = await findShard().fetch(`https://shard.invalid${LINK_PATH}`, {
      headers: { Upgrade: 'websocket' },
    });
    if (response.webSocket === null) {
      throw new Error(`the stage answered the upgrade with status ${response.status}`);
    }
    return new WebSocketLink(response.webSocket);
  };
}
