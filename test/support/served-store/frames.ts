import type { Socket } from "node:net";
import { deserialize, serialize } from "node:v8";

/** Whole values over a socket: four bytes of length, then the value as structured clone writes it. */
export class Frames {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, receive: (value: unknown) => void) {
    this.#socket = socket.setNoDelay(true);
    socket.on("error", () => undefined); // "close" follows
    socket.on("data", (piece: Buffer) => {
      this.#rest = Buffer.concat([this.#rest, piece]);
      while (this.#rest.length >= 4) {
        const end = 4 + this.#rest.readUInt32BE(0);
        if (this.#rest.length < end) break;
        const value: unknown = deserialize(this.#rest.subarray(4, end));
        this.#rest = this.#rest.subarray(end);
        receive(value);
      }
    });
  }

  send(value: unknown): void {
    if (this.#socket.destroyed) return;
    const body = serialize(value);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(body.length);
    this.#socket.write(Buffer.concat([head, body]));
  }
}
