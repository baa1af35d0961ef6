import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

const answerMs = 10_000;

/** A whole number as Kafka writes it: the highest byte first. */
export function int(value: number, bytes: 1 | 2 | 4): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeIntBE(value, 0, bytes);
  return buffer;
}

/** Of less than 127 bytes: one byte for the length plus one, which leaves 0 for null. */
export const compact = (bytes: Uint8Array | string): Buffer =>
  Buffer.concat([int(Buffer.byteLength(bytes) + 1, 1), Buffer.from(bytes as Uint8Array)]);

export const noTags: Buffer = int(0, 1);

/** A request by its number and version; `flexible`: the newer form of it, with tagged fields. */
export interface WireRequest {
  readonly key: number;
  readonly version: number;
  readonly body: Uint8Array;
  readonly flexible: boolean;
}

/** A connection that asks one thing at a time, without any client in between: no broker of ours needs one to be set up. */
export class KafkaWire implements Disposable {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended: Error | undefined;
  #asked = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(answerMs, () => socket.destroy(new Error("Kafka did not answer")));
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    socket.on("error", (error) => (this.#ended = error));
    socket.on("close", () => {
      this.#ended ??= new Error("the connection was closed");
      this.#wake?.();
    });
  }

  static plain(port: number): KafkaWire {
    return new KafkaWire(connect({ port, host: "127.0.0.1" }));
  }

  static secure(port: number, options: ConnectionOptions): KafkaWire {
    return new KafkaWire(connectTls({ port, host: "127.0.0.1", ...options }));
  }

  /** The answer's body. */
  async ask({ key, version, body, flexible }: WireRequest): Promise<Buffer> {
    const header = [int(key, 2), int(version, 2), int((this.#asked += 1), 4), int(-1, 2)];
    const request = Buffer.concat([...header, ...(flexible ? [noTags] : []), body]);
    this.#socket.write(Buffer.concat([int(request.length, 4), request]));
    const answer = await this.#answer();
    return answer.subarray(flexible ? 5 : 4);
  }

  async #answer(): Promise<Buffer> {
    for (;;) {
      const length = this.#received.length < 4 ? undefined : this.#received.readInt32BE(0);
      if (length !== undefined && this.#received.length >= 4 + length) {
        const answer = this.#received.subarray(4, 4 + length);
        this.#received = this.#received.subarray(4 + length);
        return answer;
      }
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
