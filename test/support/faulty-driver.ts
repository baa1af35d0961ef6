import type {
  Capabilities,
  ConnectContext,
  Consumption,
  Driver,
  DriverAdmin,
  DriverConnection,
  OutMessage,
  Sink,
  Source,
} from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";

/** An error as a broker's client might throw it: `classify` reads its code. */
export class Fault extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(message: string, options: { readonly code?: string; readonly retryable?: boolean } = {}) {
    super(message);
    this.code = options.code ?? "BUS_CONNECTION";
    this.retryable = options.retryable ?? true;
  }
}

/**
 * What happens to one try: `no` and `unknown` are not stored; `lost` is stored, and answered as unknown; `late` is too, and
 * its `stored` comes when `answerLate` is called; `silent` is neither stored nor answered.
 */
export type SendFault = "no" | "refused" | "unknown" | "lost" | "late" | "silent";

export interface Opened {
  readonly source: Source;
  /** As a lost connection does: what is unsettled goes back to the broker, then the core hears of it. */
  end(error?: unknown): Promise<void>;
  readonly sink: Sink;
}

/** The memory driver, with what brokers and networks do to it. Everything is set before or while a bus uses it. */
export class FaultyDriver implements Driver {
  readonly name = "faulty";
  readonly capabilities: Capabilities;
  /** Connects that still fail. */
  failConnects = 0;
  connectFault: () => unknown = () => new Fault("the broker is not there");
  /** Waited for by each connect. */
  connectGate: Promise<unknown> | undefined;
  /** Called with each new connection. */
  afterConnect: ((connection: DriverConnection) => void) | undefined;
  /** Openings that still fail. */
  failConsumes = 0;
  consumeGate: Promise<unknown> | undefined;
  /** Waited for when a group was opened and may deliver already: the answer is late. */
  groupGate: Promise<unknown> | undefined;
  /** Nothing that a consumption is asked for reaches the broker. */
  deaf = false;
  /** What a consumption is asked in this way is never answered, but for a close by force. */
  readonly mute: Set<"wants" | "stop" | "flush" | "close"> = new Set();
  pingGate: Promise<unknown> | undefined;
  sendFault: (message: OutMessage, attempt: number) => SendFault | undefined = () => undefined;
  /** Settlements of dead letters that still answer `unknown`, without effect. */
  failLetters = 0;
  /** Every try, in order. */
  readonly sent: OutMessage[] = [];
  readonly batches: number[] = [];
  readonly connectTimes: number[] = [];
  readonly consumeTimes: number[] = [];
  readonly opened: Opened[] = [];
  readonly contexts: ConnectContext[] = [];
  open = 0;
  /** Of the newest connection; may be changed. */
  admin: DriverAdmin | undefined;
  readonly #inner: Driver;
  readonly #attempts = new Map<string, number>();
  #late: (() => void)[] = [];

  constructor(inner: Driver = memory(), capabilities: Partial<Capabilities> = {}) {
    this.#inner = inner;
    this.capabilities = { ...inner.capabilities, ...capabilities };
  }

  classify(error: unknown): { readonly code: string; readonly retryable: boolean } {
    return error instanceof Fault ? { code: error.code, retryable: error.retryable } : this.#inner.classify(error);
  }

  /** Answers every `late` message so far; how many. */
  answerLate(): number {
    const late = this.#late;
    this.#late = [];
    for (const each of late) each();
    return late.length;
  }

  /** The newest opening of a kind. */
  last(kind: Source["kind"]): Opened {
    const found = this.opened.findLast(({ source }) => source.kind === kind);
    if (found === undefined) throw new Error(`nothing of kind ${kind} was opened`);
    return found;
  }

  async connect(context: ConnectContext): Promise<DriverConnection> {
    this.connectTimes.push(performance.now());
    this.contexts.push(context);
    await this.connectGate;
    if (this.failConnects > 0) {
      this.failConnects -= 1;
      throw this.connectFault();
    }
    const inner = await this.#inner.connect(context);
    this.open += 1;
    const connection = this.#wrap(inner);
    this.afterConnect?.(connection);
    return connection;
  }

  #wrap(inner: DriverConnection): DriverConnection {
    let closed = false;
    this.admin = inner.admin;
    return {
      client: inner.client,
      capabilities: { ...inner.capabilities, ...this.capabilities },
      unencoded: inner.unencoded,
      admin: inner.admin,
      state: inner.state,
      ensureStream: (stream, dryRun) => inner.ensureStream(stream, dryRun),
      ensureGroup: (group) => inner.ensureGroup(group),
      send: (batch) => this.#send(inner, batch),
      consume: (source, sink, window) => this.#consume(inner, source, sink, window),
      ping: async () => {
        await this.pingGate;
        return inner.ping();
      },
      close: async (signal) => {
        if (!closed) this.open -= 1;
        closed = true;
        await inner.close(signal);
      },
    };
  }

  #send(inner: DriverConnection, batch: readonly OutMessage[]): void {
    this.batches.push(batch.length);
    const through: OutMessage[] = [];
    for (const message of batch) {
      this.sent.push(message);
      const attempt = (this.#attempts.get(message.brokerId) ?? 0) + 1;
      this.#attempts.set(message.brokerId, attempt);
      const fault = this.sendFault(message, attempt);
      if (fault === undefined) through.push(message);
      else if (fault === "no") message.failed("no", new Fault("not now"));
      else if (fault === "refused") message.failed("no", new Fault("never", { code: "BUS_SERVER", retryable: false }));
      else if (fault === "unknown") message.failed("unknown", new Fault("the connection broke"));
      else if (fault === "lost") {
        through.push(answering(message, () => undefined));
        message.failed("unknown", new Fault("the connection broke"));
      } else if (fault === "late") {
        through.push(
          answering(message, (position, duplicate) => void this.#late.push(() => message.stored(position, duplicate))),
        );
      }
    }
    if (through.length > 0) inner.send(through);
  }

  async #consume(
    inner: DriverConnection,
    source: Source,
    sink: Sink,
    window: Parameters<DriverConnection["consume"]>[2],
  ): Promise<Consumption> {
    this.consumeTimes.push(performance.now());
    await this.consumeGate;
    if (this.failConsumes > 0) {
      this.failConsumes -= 1;
      throw new Fault("can't be opened now");
    }
    const consumption = await inner.consume(source, sink, window);
    if (source.kind === "group") await this.groupGate;
    let ended = false;
    const check = async (asked: "wants" | "stop" | "flush" | "close"): Promise<void> => {
      if (ended) throw new Fault("this consumption has ended");
      if (this.deaf) throw new Fault("the broker does not hear");
      if (this.mute.has(asked)) await new Promise(() => undefined);
    };
    this.opened.push({
      source,
      sink,
      end: async (error = new Fault("the broker ended it")) => {
        ended = true;
        await consumption.close(AbortSignal.abort());
        sink.ended(error, false);
      },
    });
    return {
      address: consumption.address,
      window: (given, partition) => {
        if (!ended) consumption.window(given, partition);
      },
      wants: async (patterns, answers) => {
        await check("wants");
        await consumption.wants(patterns, answers);
      },
      ack: (messages) => {
        if (!ended) consumption.ack(messages);
      },
      settle: async (batch) => {
        if (ended) return batch.map(() => "stale");
        if (this.failLetters > 0 && batch.some(({ how }) => how === "dead")) {
          this.failLetters -= 1;
          return batch.map(() => "unknown");
        }
        return consumption.settle(batch);
      },
      record: async (notes) => (ended ? notes.map(() => "stale" as const) : consumption.record(notes)),
      flush: async () => {
        if (ended) return;
        await check("flush");
        await consumption.flush();
      },
      stop: async () => {
        if (ended) return;
        await check("stop");
        await consumption.stop();
      },
      close: async (signal) => {
        if (ended) return;
        if (!signal.aborted || this.deaf) await check("close");
        await consumption.close(signal);
        ended = true;
      },
    };
  }
}

function answering(
  message: OutMessage,
  stored: (position: string | undefined, duplicate: boolean | undefined) => void,
): OutMessage {
  const { to, id, brokerId, key, hash, replyTo, notBefore, expiresAt, durable, priority, headers, body, value } =
    message;
  return {
    to,
    id,
    brokerId,
    key,
    hash,
    replyTo,
    notBefore,
    expiresAt,
    durable,
    priority,
    headers,
    body,
    value,
    stored,
    failed: () => undefined,
  };
}
