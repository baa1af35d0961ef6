import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { FaultProxy } from "../../src/testing/fault-proxy.ts";
import { until } from "../../src/testing/until.ts";

/** What one end of a connection sees. */
export class End {
  readonly socket: Socket;
  text = "";
  chunks = 0;
  ended = false;
  closed = false;
  error: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("latin1");
      this.chunks += 1;
    });
    socket.on("end", () => (this.ended = true));
    socket.on("close", () => (this.closed = true));
    socket.on("error", (error: NodeJS.ErrnoException) => (this.error = error.code));
  }

  /** Milliseconds until as many bytes have come back as it sends. */
  async echoMs(bytes = 1): Promise<number> {
    const from = performance.now();
    const length = this.text.length + bytes;
    this.socket.write("x".repeat(bytes));
    await until(() => this.text.length === length, "the echo");
    return performance.now() - from;
  }
}

export async function untilSays(end: End, text: string): Promise<void> {
  await until(
    () => end.text === text,
    () => `"${text}", and not "${end.text}"`,
  );
}

export async function untilClosed(end: End, code?: string): Promise<void> {
  await until(() => end.closed, "its end");
  expect(end.error).toBe(code);
}

/** An echo server for a file, with a proxy before it for each test. */
export class ProxiedEcho {
  proxy!: FaultProxy;
  address = "";
  /** The server's ends, in the order in which they came. */
  readonly ends: End[] = [];
  readonly #dialed: End[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((socket) => {
      this.ends.push(new End(socket));
      socket.on("data", (bytes) => socket.write(bytes));
    });
    beforeAll(async () => {
      this.#server.listen(0, "127.0.0.1");
      await once(this.#server, "listening");
      this.address = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    });
    beforeEach(async () => {
      this.ends.length = 0;
      this.proxy = await FaultProxy.start(this.address);
    });
    afterEach(async () => {
      await this.proxy.close();
      for (const { socket } of this.#dialed.splice(0)) socket.destroy();
    });
    afterAll(() => void this.#server.close());
  }

  dial({ port }: { readonly port: number } = this.proxy): End {
    const end = new End(connect(port, "127.0.0.1"));
    this.#dialed.push(end);
    return end;
  }

  /** Connected all the way, which an echo of one byte has shown. */
  async caller(): Promise<End> {
    const end = this.dial();
    await end.echoMs();
    end.text = "";
    return end;
  }

  /** The server's end of the latest connection. */
  get target(): End {
    return this.ends.at(-1) as End;
  }
}
