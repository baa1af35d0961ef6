import type { ConnectionOptions } from "node:tls";
import { LineSocket } from "./line-socket.ts";

export interface NatsInfo {
  readonly version: string;
  readonly server_name: string;
  readonly jetstream?: boolean;
  readonly nonce?: string;
}

/** NATS's protocol by hand: enough to log in and to ask JetStream. */
export class NatsLines implements Disposable {
  readonly info: NatsInfo;
  readonly #socket: LineSocket;
  #asked = 0;

  private constructor(socket: LineSocket, info: NatsInfo) {
    this.#socket = socket;
    this.info = info;
  }

  /** Rejects with the server's words when it refuses. */
  static async connect(
    port: number,
    login: (info: NatsInfo) => object = () => ({}),
    tls?: ConnectionOptions,
  ): Promise<NatsLines> {
    let socket = LineSocket.plain(port);
    const hello = await socket.next();
    const info = JSON.parse(hello.slice("INFO ".length)) as NatsInfo;
    if (tls !== undefined) socket = socket.secured(tls);
    socket.send(`CONNECT ${JSON.stringify({ verbose: false, pedantic: false, ...login(info) })}`, "PING");
    for (let line = await socket.next(); line !== "PONG"; line = await socket.next()) {
      if (line.startsWith("-ERR")) {
        socket[Symbol.dispose]();
        throw new Error(line);
      }
    }
    return new NatsLines(socket, info);
  }

  /** The answer's text. */
  async request(subject: string, body: string): Promise<string> {
    const inbox = `_INBOX.test.${(this.#asked += 1)}`;
    this.#socket.send(`SUB ${inbox} ${this.#asked}`, `PUB ${subject} ${inbox} ${Buffer.byteLength(body)}`, body);
    let line = await this.#socket.next();
    while (!/^H?MSG /.test(line)) line = await this.#socket.next();
    return this.#socket.next();
  }

  async ping(withinMs?: number): Promise<void> {
    this.#socket.send("PING");
    while ((await this.#socket.next(withinMs)) !== "PONG");
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
