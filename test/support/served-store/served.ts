import { connect as dial, type Socket } from "node:net";
import type {
  ConnectContext,
  Consumption,
  Driver,
  DriverAdmin,
  DriverConnection,
  InMessage,
  OutMessage,
  Sink,
} from "../../../src/driver.ts";
import { sqlite } from "../../../src/drivers/sqlite/index.ts";
import { DriverError } from "../../../src/internal/driver-error.ts";
import { Frames } from "./frames.ts";
import type { Answer, Failure, Handed, Request } from "./protocol.ts";

/** What a driver can get wrong, to be caught by the suite. */
export type Flaw =
  | "calls the unknown rejected"
  | "acknowledges before it is stored"
  | "forgets where it was"
  | "new id for each try"
  | "comes back late"
  | "answers late again"
  | "says lost what is not"
  | "notices no silence"
  | "loses acknowledgements"
  | "says nothing"
  | "forgets who waits"
  | "keeps no attempts";

export interface ServedOptions {
  readonly url: string;
  /** How long the line may be silent. */
  readonly silenceMs: number;
  readonly flaw?: Flaw | undefined;
}

const { capabilities: stored } = sqlite({ path: ":unused:" });
const capabilities: Driver["capabilities"] = { ...stored, state: "none" };
const broken = (why: string): DriverError => new DriverError("BUS_CONNECTION", why, { retryable: true });
const errorOf = ({ code, message, retryable }: Failure): DriverError => new DriverError(code, message, { retryable });

/** A driver over TCP, to the store that `server.ts` serves. It reconnects for ever, as a broker's client does. */
export function served(options: ServedOptions): Driver {
  return {
    name: "served",
    capabilities,
    classify: (error) =>
      error instanceof DriverError
        ? { code: error.code, retryable: error.retryable }
        : { code: "BUS_SERVER", retryable: false },
    async connect(context) {
      const line = new Line(options, context);
      await line.open();
      return line.connection;
    },
  };
}

interface Open {
  readonly sink: Sink;
  readonly messages: Map<number, Received>;
  /** What is acknowledged goes out together. */
  acks: number[];
}

class Received implements InMessage {
  readonly value = undefined;
  readonly #handed: Handed;

  constructor(handed: Handed) {
    this.#handed = handed;
    Object.assign(this, handed.fields);
  }
  declare readonly topic: string;
  declare readonly body: Uint8Array;
  declare readonly key: string | undefined;
  declare readonly partition: string | undefined;
  declare readonly position: string | undefined;
  declare readonly replyTo: string | undefined;
  declare readonly lane: InMessage["lane"];
  declare readonly deliveries: number;
  declare readonly attempts: number;
  declare readonly notBefore: number | undefined;

  get number(): number {
    return this.#handed.number;
  }
  header(name: string): string | undefined {
    return this.#handed.headers.find(([each]) => each === name)?.[1];
  }
  note(name: string): string | undefined {
    return this.#handed.notes.find(([each]) => each === name)?.[1];
  }
  headers(): Handed["headers"] {
    return this.#handed.headers;
  }
}

const numberOf = (message: InMessage): number => (message as Received).number;

class Line {
  readonly #options: ServedOptions;
  readonly #context: ConnectContext;
  #socket: Socket | undefined;
  #frames: Frames | undefined;
  #up = false;
  #closed = false;
  #broke = false;
  #heard = 0;
  #numbers = 0;
  readonly #calls = new Map<
    number,
    { readonly resolve: (value: unknown) => void; readonly reject: (error: Error) => void }
  >();
  readonly #sent = new Map<number, OutMessage>();
  readonly #open = new Map<number, Open>();

  constructor(options: ServedOptions, context: ConnectContext) {
    this.#options = options;
    this.#context = context;
  }

  /** One try; once it was open it opens itself again. */
  async open(): Promise<void> {
    const { hostname, port } = new URL(this.#options.url);
    const socket = dial(Number(port), hostname);
    this.#socket = socket;
    this.#frames = new Frames(socket, (value) => {
      this.#heard = performance.now();
      if (socket === this.#socket) this.#receive(value as Answer);
    });
    this.#heard = performance.now();
    const beat = setInterval(() => {
      this.#frames?.send({ beat: true } satisfies Request);
      if (this.#options.flaw !== "notices no silence" && performance.now() - this.#heard > this.#options.silenceMs)
        socket.destroy();
    }, this.#options.silenceMs / 8);
    socket.once("close", () => {
      clearInterval(beat);
      if (socket === this.#socket) this.#lost();
    });
    const { name, prefix, member, manage } = this.#context;
    await this.#call("connection", "connect", { name, prefix, member, manage });
    this.#up = true;
  }

  #lost(): void {
    const was = this.#up;
    this.#up = false;
    this.#broke = true;
    const error = broken("the line broke");
    const { flaw } = this.#options;
    if (flaw !== "forgets who waits") for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    for (const message of this.#sent.values())
      message.failed(flaw === "calls the unknown rejected" ? "no" : "unknown", error);
    this.#sent.clear();
    if (!was || this.#closed) return;
    if (flaw !== "says nothing") this.#context.status({ type: "disconnected", error });
    const open = [...this.#open.values()];
    this.#open.clear();
    for (const { sink } of open) sink.ended(error, false);
    void this.#again(flaw === "comes back late" ? 8_500 : 50);
  }

  async #again(delayMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    if (this.#closed) return;
    try {
      await this.open();
    } catch {
      return this.#again(Math.min(delayMs * 2, 500));
    }
    this.#context.status({ type: "connected" });
    this.#context.changed();
  }

  #call(on: "connection" | "admin" | number, method: string, ...args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket?.destroyed !== false || (!this.#up && method !== "connect"))
        return reject(broken("there is no line"));
      const call = ++this.#numbers;
      this.#calls.set(call, { resolve, reject });
      this.#frames!.send({ call, on, method, args } satisfies Request);
    });
  }

  #receive(answer: Answer): void {
    if ("call" in answer) {
      const waiting = this.#calls.get(answer.call);
      this.#calls.delete(answer.call);
      if ("failure" in answer) waiting?.reject(errorOf(answer.failure));
      else waiting?.resolve(answer.value);
    } else if ("stored" in answer) {
      const message = this.#sent.get(answer.stored);
      this.#sent.delete(answer.stored);
      message?.stored(answer.position, answer.duplicate);
    } else if ("failed" in answer) {
      const message = this.#sent.get(answer.failed);
      this.#sent.delete(answer.failed);
      message?.failed(answer.outcome, errorOf(answer.failure));
    } else if ("sink" in answer) this.#tell(answer.sink, answer.method, answer.args);
    else if ("changed" in answer) this.#context.changed();
  }

  #tell(number: number, method: string, args: readonly unknown[]): void {
    const open = this.#open.get(number);
    if (open === undefined) return void this.#early.push([number, method, args]);
    const { sink, messages } = open;
    if (method === "deliver") {
      const received = (args[0] as readonly Handed[]).map((handed) => new Received(handed));
      for (const each of received) messages.set(each.number, each);
      sink.deliver(received);
    } else if (method === "revoked") {
      const which = args[0] as readonly number[] | { readonly partition: string };
      sink.revoked("partition" in which ? which : which.flatMap((each) => messages.get(each) ?? []));
    } else if (method === "ended") {
      this.#open.delete(number);
      sink.ended(errorOf(args[0] as Failure), args[1] as boolean);
    } else (sink as never as Record<string, (...all: readonly unknown[]) => void>)[method]!(...args);
  }
  /** Of a consumption whose number is on its way. */
  readonly #early: [number, string, readonly unknown[]][] = [];

  #send(batch: readonly OutMessage[]): void {
    if (!this.#up) {
      for (const message of batch) message.failed("no", broken("there is no line"));
      return;
    }
    const numbered = batch.map((message) => {
      const number = ++this.#numbers;
      this.#sent.set(number, message);
      const { to, id, key, hash, replyTo, notBefore, expiresAt, durable, priority, headers, body } = message;
      const brokerId =
        this.#options.flaw === "new id for each try" ? `${message.brokerId}-${number}` : message.brokerId;
      return { number, to, id, brokerId, key, hash, replyTo, notBefore, expiresAt, durable, priority, headers, body };
    });
    this.#frames!.send({ batch: numbered } satisfies Request);
    if (this.#options.flaw === "acknowledges before it is stored")
      for (const message of batch)
        if (message.replyTo === undefined && message.to.kind === "topic") message.stored("1");
  }

  async #consume(
    source: Parameters<DriverConnection["consume"]>[0],
    sink: Sink,
    window: unknown,
  ): Promise<Consumption> {
    const { flaw } = this.#options;
    if (flaw === "answers late again" && this.#broke && source.kind === "direct")
      await new Promise((resolve) => setTimeout(resolve, 8_500));
    if (flaw === "says lost what is not" && this.#broke && source.kind === "group")
      setTimeout(() => sink.lost(undefined, "who knows"), 100);
    const forgetful =
      this.#options.flaw === "forgets where it was" && source.kind !== "direct" && source.kind !== "inbox";
    // late enough that something was published meanwhile
    if (forgetful && this.#broke) await new Promise((resolve) => setTimeout(resolve, 500));
    const asked = forgetful ? { ...source, resume: undefined, from: { at: "newest" } } : source;
    const { number, address } = (await this.#call("connection", "consume", asked, window)) as {
      readonly number: number;
      readonly address: string | undefined;
    };
    // of one group, and until the line breaks: or nothing would ever be settled
    const loses =
      this.#options.flaw === "loses acknowledgements" && source.kind === "group" && source.group.endsWith("loose");
    const lossy = loses && !this.#broke;
    const open: Open = { sink, messages: new Map(), acks: [] };
    this.#open.set(number, open);
    const gone = (): boolean => !this.#open.has(number);
    const ask = (method: string, ...args: readonly unknown[]): Promise<unknown> => this.#call(number, method, ...args);
    const quietly = (method: string, ...args: readonly unknown[]): void =>
      void ask(method, ...args).catch(() => undefined);
    const flushAcks = (): void => {
      if (open.acks.length > 0) quietly("ack", open.acks.splice(0));
    };
    setImmediate(() => {
      const early = this.#early.filter(([of]) => of === number);
      for (const [, method, args] of early) this.#tell(number, method, args);
    });
    return {
      address,
      window: (...args) => quietly("window", ...args),
      wants: async (...args) => void (gone() || (await ask("wants", ...args))),
      ack: (messages) => {
        if (gone()) return;
        if (open.acks.length === 0) setImmediate(flushAcks);
        open.acks.push(...messages.map(numberOf).filter((number) => !lossy || number % 4 > 0));
        for (const message of messages) open.messages.delete(numberOf(message));
      },
      settle: async (batch) =>
        gone()
          ? batch.map(() => "stale")
          : ((await ask(
              "settle",
              batch.map((each) => ({ ...each, message: numberOf(each.message) })),
            ).catch(() => batch.map(() => "unknown"))) as never),
      record: async (notes) =>
        gone() || flaw === "keeps no attempts"
          ? notes.map(() => (gone() ? "stale" : "done"))
          : ((await ask(
              "record",
              notes.map((each) => ({ ...each, message: numberOf(each.message) })),
            )) as never),
      flush: async () => {
        flushAcks();
        if (!gone()) await ask("flush");
      },
      stop: async () => void (gone() || (await ask("stop"))),
      close: async (signal) => {
        if (gone()) return;
        flushAcks();
        this.#open.delete(number);
        await ask("close", signal.aborted).catch(() => undefined);
      },
    };
  }

  get connection(): DriverConnection {
    const admin = new Proxy({} as DriverAdmin, {
      get:
        (_, method: string) =>
        (...args: readonly unknown[]) =>
          this.#call("admin", method, ...args),
    });
    const ask =
      (method: string) =>
      (...args: readonly unknown[]): Promise<never> =>
        this.#call("connection", method, ...args) as Promise<never>;
    return {
      client: undefined,
      capabilities,
      unencoded: false,
      admin,
      state: undefined,
      ensureStream: ask("ensureStream"),
      ensureGroup: ask("ensureGroup"),
      ping: ask("ping"),
      send: (batch) => this.#send(batch),
      consume: (source, sink, window) => this.#consume(source, sink, window),
      close: async (signal) => {
        this.#closed = true;
        const ended = this.#call("connection", "close").catch(() => undefined);
        const aborted = new Promise((resolve) => {
          if (signal.aborted) resolve(undefined);
          signal.addEventListener("abort", resolve, { once: true });
        });
        await Promise.race([ended, aborted]);
        this.#socket?.destroy();
      },
    };
  }
}
