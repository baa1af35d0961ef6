/** The SQLite driver's store as a broker: a process of its own behind a TCP port. `node server.ts <port> <file> <leaseMs>`. */
import { createServer, type Socket } from "node:net";
import { systemClock } from "../../../src/clock.ts";
import type { Consumption, DriverConnection, InMessage, OutMessage, Sink } from "../../../src/driver.ts";
import { sqlite } from "../../../src/drivers/sqlite/index.ts";
import { Frames } from "./frames.ts";
import type { Answer, Failure, Handed, Request, SentMessage } from "./protocol.ts";

const [, , port, path, lease] = process.argv as [string, string, string, string, string];
const leaseMs = Number(lease);
const driver = sqlite({ path, leaseMs });

class Session {
  readonly #socket: Socket;
  readonly #frames: Frames;
  readonly #consumptions = new Map<
    number,
    { readonly consumption: Consumption; readonly held: Map<number, InMessage> }
  >();
  #connection: DriverConnection | undefined;
  /** None comes again in a later session: an old acknowledgement must not hit a new message. */
  #numbers = Math.floor(Math.random() * 2 ** 40);
  #heard = performance.now();

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#frames = new Frames(socket, (value) => this.#receive(value as Request));
    // who is silent for a lease is gone, and what it has in hand goes to another
    const watch = setInterval(() => {
      if (performance.now() - this.#heard > leaseMs) socket.destroy();
    }, leaseMs / 4);
    socket.on("close", () => {
      clearInterval(watch);
      void this.#connection?.close(AbortSignal.abort());
    });
  }

  #say(answer: Answer): void {
    this.#frames.send(answer);
  }

  #receive(request: Request): void {
    this.#heard = performance.now();
    if ("beat" in request) this.#say(request);
    else if ("batch" in request) this.#connection?.send(request.batch.map((message) => this.#out(message)));
    else {
      const { call } = request;
      this.#call(request).then(
        (value) => this.#say({ call, value }),
        (error: unknown) => this.#say({ call, failure: failureOf(error) }),
      );
    }
  }

  #out(message: SentMessage): OutMessage {
    const { number } = message;
    return {
      ...message,
      value: undefined,
      stored: (position, duplicate = false) => this.#say({ stored: number, position, duplicate }),
      failed: (outcome, error) => this.#say({ failed: number, outcome, failure: failureOf(error) }),
    };
  }

  async #call({ on, method, args }: Extract<Request, { method: string }>): Promise<unknown> {
    if (method === "connect") {
      const [status, warn] = [(): void => undefined, (): void => undefined];
      const changed = (): void => this.#say({ changed: true });
      const signal = new AbortController().signal;
      this.#connection = await driver.connect({
        ...(args[0] as object),
        clock: systemClock,
        signal,
        status,
        changed,
        warn,
      } as never);
      if (this.#socket.destroyed) void this.#connection.close(AbortSignal.abort());
      return undefined;
    }
    if (method === "consume") return this.#consume(args);
    if (typeof on === "number") return this.#consumption(on, method, args);
    const target: unknown = on === "admin" ? this.#connection!.admin : this.#connection;
    if (method === "close") return this.#connection!.close(AbortSignal.timeout(1_000));
    return await (target as Record<string, (...all: readonly unknown[]) => unknown>)[method]!(...args);
  }

  async #consume([source, window]: readonly unknown[]): Promise<unknown> {
    const number = ++this.#numbers;
    const held = new Map<number, InMessage>();
    const tell =
      (method: string) =>
      (...args: readonly unknown[]): void =>
        this.#say({ sink: number, method, args });
    const numberOf = (message: InMessage): number => [...held].find(([, each]) => each === message)?.[0] ?? 0;
    const sink: Sink = {
      deliver: (messages) => tell("deliver")(messages.map((message) => this.#hand(message, held))),
      revoked: (which) => tell("revoked")("partition" in which ? { partition: which.partition } : which.map(numberOf)),
      floor: tell("floor"),
      spec: tell("spec"),
      lost: tell("lost"),
      ended: (error, kept) => tell("ended")(failureOf(error), kept),
    };
    const consumption = await this.#connection!.consume(source as never, sink, window as never);
    this.#consumptions.set(number, { consumption, held });
    return { number, address: consumption.address };
  }

  #hand(message: InMessage, held: Map<number, InMessage>): Handed {
    const number = ++this.#numbers;
    held.set(number, message);
    const headers = message.headers();
    const notes = headers.flatMap(([name]): [string, string][] => {
      const note = message.note(name);
      return note === undefined ? [] : [[name, note]];
    });
    const { topic, key, partition, position, replyTo, lane, deliveries, attempts, notBefore } = message;
    const body = new Uint8Array(message.body);
    return {
      number,
      headers,
      notes,
      fields: { topic, body, key, partition, position, replyTo, lane, deliveries, attempts, notBefore },
    };
  }

  async #consumption(number: number, method: string, args: readonly unknown[]): Promise<unknown> {
    const { consumption, held } = this.#consumptions.get(number)!;
    const take = (each: number, keep: boolean): InMessage => {
      const message = held.get(each)!;
      if (!keep) held.delete(each);
      return message;
    };
    const batch = args[0] as readonly { readonly message: number }[];
    switch (method) {
      case "ack":
        return consumption.ack(
          (args[0] as readonly number[]).filter((each) => held.has(each)).map((each) => take(each, false)),
        );
      case "settle":
        return consumption.settle(batch.map((each) => ({ ...each, message: take(each.message, false) })) as never);
      case "record":
        return consumption.record(batch.map((each) => ({ ...each, message: take(each.message, true) })) as never);
      case "close":
        return consumption.close(args[0] === true ? AbortSignal.abort() : AbortSignal.timeout(2_000));
      default:
        return await (consumption as never as Record<string, (...all: readonly unknown[]) => unknown>)[method]!(
          ...args,
        );
    }
  }
}

function failureOf(error: unknown): Failure {
  return { ...driver.classify(error), message: error instanceof Error ? error.message : String(error) };
}

createServer((socket) => new Session(socket)).listen(Number(port), "127.0.0.1", () => console.log("listening"));
process.stdin.resume().on("end", () => process.exit(0)); // with the process that started it
