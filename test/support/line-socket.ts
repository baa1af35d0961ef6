import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { within } from "../../src/testing/until.ts";

/** A connection whose protocol is read line by line, without any client in between. */
export class LineSocket implements Disposable {
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #rest = "";
  #wake: (() => void) | undefined;
  #ended: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#socket.setEncoding("utf8");
    this.#socket.on("data", (text: string) => {
      const lines = `${this.#rest}${text}`.split("\r\n");
      this.#rest = lines.pop() ?? "";
      this.#lines.push(...lines);
      this.#wake?.();
    });
    this.#socket.on("error", (error) => (this.#ended = error));
    this.#socket.on("close", () => {
      this.#ended ??= new Error("the connection was closed");
      this.#wake?.();
    });
  }

  static plain(port: number): LineSocket {
    return new LineSocket(connect({ port, host: "127.0.0.1" }));
  }

  static secure(port: number, options: ConnectionOptions): LineSocket {
    return new LineSocket(connectTls({ port, host: "127.0.0.1", ...options }));
  }

  /** The same connection, secured from here on. */
  secured(options: ConnectionOptions): LineSocket {
    this.#socket.removeAllListeners("data");
    return new LineSocket(connectTls({ socket: this.#socket, host: "127.0.0.1", ...options }));
  }

  send(...lines: readonly string[]): void {
    this.#socket.write(lines.map((line) => `${line}\r\n`).join(""));
  }

  async #line(): Promise<string> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      if (this.#ended !== undefined) throw this.#ended;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The next line. Rejects when the connection ends or fails before, and after the deadline. */
  next(withinMs?: number): Promise<string> {
    return within(this.#line(), "a line", withinMs);
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
