import { describeError } from '../../result.ts';
import type { FrameLink, LinkHandlers } from '../link.ts';

const NORMAL_CLOSURE = 1000;
/** RFC 6455, section 5.5: a control frame carries 125 bytes, two of which are the code. */
const CLOSE_REASON_BYTES_MAX = 123;

/**
 * A link over a WebSocket that nobody has accepted yet: messages wait in the runtime until `attach`. It is accepted
 * without hibernation, since a stage whose pages were discarded is of no use to its ring.
 */
export class WebSocketLink implements FrameLink {
  readonly #socket: WebSocket;
  #handlers: LinkHandlers | null = null;
  #isClosed = false;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  attach(handlers: LinkHandlers): void {
    this.#handlers = handlers;
    this.#socket.binaryType = 'arraybuffer';
    this.#socket.addEventListener('message', ({ data }) => {
      if (this.#isClosed) {
        return;
      }
      if (data instanceof ArrayBuffer) {
        this.#handlers?.onFrame(new Uint8Array(data));
      } else {
        this.close('a text message on a link of frames');
      }
    });
    this.#socket.addEventListener('close', ({ reason }) => this.#end(reason === '' ? 'closed' : reason));
    this.#socket.addEventListener('error', ({ message }) => this.#end(`failed: ${message}`));
    this.#socket.accept();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) {
      return;
    }
    try {
      this.#socket.send(bytes);
    } catch (thrown) {
      this.close(`cannot send: ${describeError(thrown)}`);
    }
  }

  close(reason: string): void {
    if (this.#isClosed) {
      return;
    }
    try {
      this.#socket.close(NORMAL_CLOSURE, truncateUtf8(reason, CLOSE_REASON_BYTES_MAX));
    } catch {
      // The other end was faster; its close event says the same.
    }
    this.#end(reason);
  }

  #end(reason: string): void {
    if (!this.#isClosed) {
      this.#isClosed = true;
      const handlers = this.#handlers;
      this.#handlers = null;
      queueMicrotask(() => handlers?.onClose(reason));
    }
  }
}

/** The longest prefix of whole characters that fits. */
function truncateUtf8(text: string, bytesMax: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytesMax));
  return text.slice(0, read);
}
