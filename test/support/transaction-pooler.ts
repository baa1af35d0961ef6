import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** What PostgreSQL's protocol sends, taken apart: a letter, a length, what follows. */
class Messages {
  #rest: Buffer = Buffer.alloc(0);

  *take(chunk: Buffer): IterableIterator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 5) {
      const end = 1 + this.#rest.readInt32BE(1);
      if (this.#rest.length < end) return;
      yield this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
    }
  }
}

const letter = (message: Buffer): string => String.fromCharCode(message[0] ?? 0);

function startup(fields: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(fields).map(([name, value]) => `${name}\0${value}\0`);
  const body = Buffer.from(`${text.join("")}\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + body.length);
  head.writeInt32BE(196_608, 4);
  return Buffer.concat([head, body]);
}

function message(type: string, body: string): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(4 + Buffer.byteLength(body), 1);
  return Buffer.concat([head, Buffer.from(body)]);
}

interface Backend {
  readonly socket: Socket;
  user: Client | undefined;
}

class Client {
  readonly socket: Socket;
  /** Answered by a ReadyForQuery each. */
  asked = 0;
  backend: Backend | undefined;
  readonly waiting: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

/**
 * A pooler of transactions, as PgBouncer in that mode is one: a client has a server's session from the first message of a
 * transaction to its end; what is set, prepared or listened to stays with the session, and startup options are refused. For
 * servers that ask for no password.
 */
export class TransactionPooler implements AsyncDisposable {
  readonly #server = createServer((socket) => this.#accept(socket));
  readonly #backends: Backend[] = [];
  readonly #clients = new Set<Client>();
  readonly #queue: Client[] = [];
  #greeting: Buffer[] = [];
  /** How many times a client got another session than the one before. */
  moved = 0;
  readonly #last = new Map<Client, Backend>();

  private constructor() {
    this.#server.on("error", () => undefined);
  }

  /** The last session it gave out is given out last again, so that clients meet many. */
  static async start(port: number, user: string, database: string, sessions: number): Promise<TransactionPooler> {
    const pooler = new TransactionPooler();
    for (let at = 0; at < sessions; at += 1) await pooler.#open(port, user, database);
    pooler.#server.listen(0, "127.0.0.1");
    await once(pooler.#server, "listening");
    return pooler;
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#clients) socket.destroy();
    for (const { socket } of this.#backends) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #open(port: number, user: string, database: string): Promise<void> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const backend: Backend = { socket, user: undefined };
    const messages = new Messages();
    const greeting: Buffer[] = [];
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    let up = false;
    socket.on("error", reject);
    socket.on("close", () => {
      reject(new Error("the server closed a session of the pooler"));
      backend.user?.socket.destroy();
    });
    socket.on("data", (chunk: Buffer) => {
      for (const each of messages.take(chunk)) {
        if (up) this.#answered(backend, each);
        else if (letter(each) === "Z") {
          up = true;
          resolve();
        } else if (letter(each) === "S") greeting.push(Buffer.from(each));
      }
    });
    socket.write(startup({ user, database, client_encoding: "UTF8" }));
    await ready;
    this.#greeting = greeting;
    this.#backends.push(backend);
  }

  #accept(socket: Socket): void {
    const client = new Client(socket.setNoDelay(true));
    this.#clients.add(client);
    const messages = new Messages();
    let greeted = false;
    socket.on("error", () => undefined);
    socket.on("close", () => this.#left(client));
    socket.on("data", (chunk: Buffer) => {
      if (greeted) for (const each of messages.take(chunk)) this.#said(client, Buffer.from(each));
      else if (chunk.readInt32BE(4) === 80_877_103) socket.write("N");
      else greeted = this.#greet(socket, chunk);
    });
  }

  #greet(socket: Socket, chunk: Buffer): boolean {
    if (chunk.subarray(8).toString().split("\0").includes("options")) {
      const text = "unsupported startup parameter: options";
      socket.end(message("E", `SFATAL\0VFATAL\0C08P01\0M${text}\0\0`));
      return false;
    }
    const key = message("K", "\0\0\0\x01\0\0\0\x01");
    socket.write(Buffer.concat([message("R", "\0\0\0\0"), ...this.#greeting, key, message("Z", "I")]));
    return true;
  }

  #said(client: Client, each: Buffer): void {
    if (letter(each) === "X") return void client.socket.end();
    if (letter(each) === "Q" || letter(each) === "S") client.asked += 1;
    if (client.backend !== undefined) return void client.backend.socket.write(each);
    client.waiting.push(each);
    if (!this.#queue.includes(client)) this.#queue.push(client);
    this.#handOut();
  }

  #handOut(): void {
    for (;;) {
      const at = this.#backends.findIndex(({ user }) => user === undefined);
      const client = at < 0 ? undefined : this.#queue.shift();
      if (client === undefined) return;
      const [backend] = this.#backends.splice(at, 1) as [Backend];
      this.#backends.push(backend);
      backend.user = client;
      client.backend = backend;
      if (this.#last.get(client) !== backend) this.moved += 1;
      this.#last.set(client, backend);
      for (const each of client.waiting.splice(0)) backend.socket.write(each);
    }
  }

  #answered(backend: Backend, each: Buffer): void {
    const { user } = backend;
    if (user === undefined) return; // a notification: it belongs to whoever listened, and nobody knows who that was
    user.socket.write(each);
    if (letter(each) !== "Z") return;
    user.asked -= 1;
    if (user.asked > 0 || each[5] !== 0x49) return;
    user.backend = backend.user = undefined;
    this.#handOut();
  }

  #left(client: Client): void {
    this.#clients.delete(client);
    this.#last.delete(client);
    const at = this.#queue.indexOf(client);
    if (at >= 0) this.#queue.splice(at, 1);
    const { backend } = client;
    if (backend === undefined) return;
    // in the midst of something: what it asked for is let come to its end, and nobody hears of it
    if (client.asked === 0) client.asked = 1;
    if (!backend.socket.destroyed) backend.user = client;
  }
}
