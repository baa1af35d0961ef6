import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

interface Line {
  readonly client: Socket;
  readonly server: Socket;
  said: string;
  cut: boolean;
}

/**
 * Lines to a server on this machine that can go dead, as behind a balancer that drops what is idle: nothing passes any more, and neither
 * end hears of it. What the client closes stays open at the server, as behind a partition.
 */
export class CutLines implements AsyncDisposable {
  readonly #lines: Line[] = [];
  readonly #server = createServer((client) => this.#accept(client));
  readonly #target: number;
  /** The next line on which this is said goes dead as soon as that is answered. */
  cutAfter: string | undefined;

  private constructor(target: number) {
    this.#target = target;
  }

  static async start(target: number): Promise<CutLines> {
    const lines = new CutLines(target);
    lines.#server.listen(0, "127.0.0.1");
    await once(lines.#server, "listening");
    return lines;
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port;
  }

  /** How many are open for the client on which this was said. */
  open(what: string): number {
    return this.#lines.filter(({ client, said }) => !client.destroyed && said.includes(what)).length;
  }

  /** Those on which this was said go dead. */
  cut(what: string): void {
    for (const line of this.#lines) if (line.said.includes(what)) line.cut = true;
  }

  /** The server hears of it at once, and so does the client. */
  breakAll(): void {
    for (const { client, server } of this.#lines.splice(0)) {
      client.destroy();
      server.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.breakAll();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(client: Socket): void {
    const server = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    const line: Line = { client: client.setNoDelay(true), server, said: "", cut: false };
    let isLast = false;
    this.#lines.push(line);
    for (const socket of [client, server]) socket.on("error", () => undefined);
    client.on("data", (chunk: Buffer) => {
      if (line.cut) return;
      line.said += chunk.toString("latin1");
      if (this.cutAfter !== undefined && chunk.includes(this.cutAfter)) {
        this.cutAfter = undefined;
        isLast = true;
      }
      server.write(chunk);
    });
    server.on("data", (chunk: Buffer) => {
      if (line.cut) return;
      client.write(chunk);
      if (isLast && chunk.subarray(-6).toString("latin1") === "Z\0\0\0\x05I") line.cut = true;
    });
    server.on("close", () => client.destroy());
  }
}
