/** An answer that is handed over in one piece, when it is complete. Written like a `ByteStream`, but never full. */
export class WholeAnswer {
  readonly bytes: Promise<Uint8Array<ArrayBuffer>>;
  readonly #bytes = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
  readonly #pieces: Uint8Array[] = [];
  readonly isFull = false;

  constructor() {
    this.bytes = this.#bytes.promise;
  }

  write(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
  }

  end(): void {
    const whole = new Uint8Array(this.#pieces.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, offset);
      offset += piece.length;
    }
    this.#bytes.resolve(whole);
  }
}
