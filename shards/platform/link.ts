/**
 * A bidirectional pipe of frames between two neighbours of a ring. Frames arrive whole, in order and at most once, or
 * the link closes: what a WebSocket gives.
 */
export interface FrameLink {
  /** Frames and closes that came before are delivered now. Called once, again only to hand the link over. */
  attach(handlers: LinkHandlers): void;
  /** Takes ownership of `bytes`. On a closed link it does nothing: the close is reported to the handlers. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** The other end is told `reason`. Neither end's `onFrame` is called afterwards. Closing twice is harmless. */
  close(reason: string): void;
}

export interface LinkHandlers {
  /** `bytes` belong to the handler and start at a multiple of 16 in their buffer. */
  onFrame(bytes: Uint8Array<ArrayBuffer>): void;
  /** Called once, also when this end closed the link itself. */
  onClose(reason: string): void;
}

/** Opens a link to the next stage of the ring. Rejects when the neighbour cannot be reached. */
export type LinkConnector = () => Promise<FrameLink>;
