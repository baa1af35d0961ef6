import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { within } from "../../src/testing/until.ts";

export interface AmqpWireOptions {
  /** @default guest */
  readonly user?: string;
  /** @default guest */
  readonly password?: string;
  /** @default / */
  readonly vhost?: string;
  readonly tls?: ConnectionOptions;
}

interface Frame {
  readonly channel: number;
  /** Class and method, "10.10"; undefined: no method. */
  readonly method: string | undefined;
  readonly body: Buffer;
}

const short = (text: string): Buffer => Buffer.concat([Buffer.from([Buffer.byteLength(text)]), Buffer.from(text)]);
const long = (bytes: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
};
const words = (...numbers: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(numbers.length * 2);
  for (const [at, number] of numbers.entries()) bytes.writeUInt16BE(number, at * 2);
  return bytes;
};
/** So that a refused login says why before the connection ends. */
const capabilities = long(
  Buffer.concat([
    short("capabilities"),
    Buffer.from("F"),
    long(Buffer.concat([short("authentication_failure_close"), Buffer.from("t\x01")])),
  ]),
);
const connectionClose = "10.50";

/** As little of AMQP 0.9.1 as says that a server is there, lets somebody in and keeps a queue; without any client in between. */
export class AmqpWire implements Disposable {
  readonly #socket: Socket;
  readonly #frames: Frame[] = [];
  #rest: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended: Error | undefined;
  /** Of the server. */
  version = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => this.#read(data));
    socket.on("error", (error) => (this.#ended = error));
    socket.on("close", () => {
      this.#ended ??= new Error("the connection was closed");
      this.#wake?.();
    });
  }

  /** Rejects with what the server says when it lets nobody in. */
  static async connect(port: number, options: AmqpWireOptions = {}): Promise<AmqpWire> {
    const { user = "guest", password = "guest", vhost = "/", tls } = options;
    const at = { port, host: "127.0.0.1" };
    const socket = tls === undefined ? connect(at) : connectTls({ ...at, ...tls });
    const wire = new AmqpWire(socket);
    try {
      if (tls !== undefined) await Promise.race([once(socket, "secureConnect"), once(socket, "close")]);
      socket.write("AMQP\0\0\x09\x01", "latin1");
      const start = await wire.#next("10.10");
      wire.version = /versionS....(\d+\.\d+\.\d+)/s.exec(start.body.toString("latin1"))?.[1] ?? "";
      const login = long(Buffer.from(`\0${user}\0${password}`));
      wire.#send(0, Buffer.concat([words(10, 11), capabilities, short("PLAIN"), login, short("en_US")]));
      await wire.#next("10.30");
      wire.#send(0, words(10, 31, 1, 2, 0, 0)); // one channel, 131,072 bytes a frame, no heartbeat
      wire.#send(0, Buffer.concat([words(10, 40), short(vhost), Buffer.from([0, 0])]));
      await wire.#next("10.41");
      wire.#send(1, Buffer.concat([words(20, 10), Buffer.from([0])]));
      await wire.#next("20.11");
      return wire;
    } catch (error) {
      wire[Symbol.dispose]();
      throw error;
    }
  }

  /** A durable queue; `passive`: only if it is there. */
  async declare(queue: string, passive = false): Promise<void> {
    const flags = Buffer.from([passive ? 3 : 2]);
    this.#send(1, Buffer.concat([words(50, 10, 0), short(queue), flags, long(Buffer.alloc(0))]));
    await this.#next("50.11");
  }

  /** Resolves when the server has it; rejects when it says that it takes none now. */
  async publish(queue: string, text: string): Promise<void> {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(Buffer.byteLength(text)));
    this.#send(1, Buffer.concat([words(85, 10), Buffer.from([0])]));
    await this.#next("85.11");
    this.#send(1, Buffer.concat([words(60, 40, 0), short(""), short(queue), Buffer.from([0])]));
    this.#send(1, Buffer.concat([words(60, 0), size, words(0)]), 2);
    this.#send(1, Buffer.from(text), 3);
    await this.#next("60.80");
  }

  #send(channel: number, payload: Buffer, type = 1): void {
    const head = Buffer.concat([Buffer.from([type]), words(channel), long(payload)]);
    this.#socket.write(Buffer.concat([head, Buffer.from([0xce])]));
  }

  #read(data: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, data]);
    while (this.#rest.length >= 8) {
      const size = this.#rest.readUInt32BE(3);
      if (this.#rest.length < size + 8) break;
      const payload = this.#rest.subarray(7, 7 + size);
      const method = this.#rest[0] === 1 ? `${payload.readUInt16BE(0)}.${payload.readUInt16BE(2)}` : undefined;
      this.#frames.push({ channel: this.#rest.readUInt16BE(1), method, body: payload.subarray(4) });
      this.#rest = this.#rest.subarray(size + 8);
    }
    this.#wake?.();
  }

  async #next(method: string): Promise<Frame> {
    return within(this.#find(method), `AMQP's ${method}`);
  }

  async #find(method: string): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame?.method === method) return frame;
      const { body = Buffer.alloc(0) } = frame ?? {};
      if (frame?.method === connectionClose || frame?.method === "20.40")
        throw new Error(`${body.readUInt16BE(0)} ${body.toString("utf8", 3, 3 + (body[2] ?? 0))}`);
      if (frame !== undefined) continue;
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
