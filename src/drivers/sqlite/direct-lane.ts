import type { ConnectContext, OutMessage, Sink, Window } from "../../driver.ts";
import { mostWaiting } from "../../internal/direct-bounds.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { DirectConsumer } from "./direct-consumer.ts";
import { DirectFile, type ConsumerRow, type DirectRow } from "./direct-file.ts";
import { DirectRegistry } from "../../internal/rows/direct-registry.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import { Liveness } from "./liveness.ts";
import { RowMessage } from "../../internal/rows/message.ts";
import type { ResolvedOptions } from "./options.ts";
import { Turn, type Job } from "./turn.ts";

interface Parcel {
  readonly message: OutMessage;
  /** Consumers of other processes. */
  readonly remote: readonly number[];
}

const takeAtOnce = 1_000;

/**
 * Requests, their answers and what may be lost. Between consumers of this process messages are passed on in memory, to others
 * by the unsynced file; of two consumers it is always the same way, so order holds between them.
 */
export class DirectLane {
  readonly #context: ConnectContext;
  readonly #options: ResolvedOptions;
  readonly #path: string;
  readonly #liveness: Liveness;
  readonly #local = new Map<number, DirectConsumer>();
  #file: DirectFile;
  #turn: Turn;
  #registry = new DirectRegistry<ConsumerRow>([]);
  #registered = -1;
  #version = -1;
  #parcels: Parcel[] = [];
  #sending: Parcel[] = [];
  #received: (readonly [consumer: DirectConsumer, rows: readonly DirectRow[]])[] = [];
  #delayed = new Set<Disposable>();

  constructor(path: string, context: ConnectContext, options: ResolvedOptions) {
    this.#path = path;
    this.#context = context;
    this.#options = options;
    this.#liveness = new Liveness(context.clock, options.leaseMs);
    this.#file = new DirectFile(path, context.prefix);
    this.#turn = this.#newTurn();
  }

  /** What is to be watched. */
  get path(): string {
    return `${this.#file.database.path}-wal`;
  }

  now(): number {
    return this.#context.clock.now();
  }

  /** Completes each message. */
  send(batch: readonly OutMessage[]): void {
    this.#refresh();
    for (const message of batch) {
      if (message.notBefore !== undefined && message.notBefore > this.now())
        this.#sendLater(message, message.notBefore);
      else this.#sendNow(message);
    }
    if (this.#parcels.length > 0) this.#turn.add(this.#sendJob, "write");
  }

  async open(
    kind: { readonly group: string | undefined } | "inbox",
    sink: Sink,
    window: Window,
  ): Promise<DirectConsumer> {
    const address = kind === "inbox" ? this.#newAddress() : undefined;
    const group = kind === "inbox" ? undefined : kind.group;
    const consumer = new DirectConsumer(this, group, address, sink, window);
    const file = this.#file;
    consumer.id = await this.#turn.do(() => file.register(this.#liveness.self, group, address));
    this.#local.set(consumer.id, consumer);
    this.#registered = -1;
    return consumer;
  }

  async wants(consumer: DirectConsumer): Promise<void> {
    await this.#turn.do(() => this.#file.wants(consumer.id, consumer.patterns, consumer.answers));
    this.#registered = -1;
  }

  async leave(consumer: DirectConsumer): Promise<void> {
    this.#local.delete(consumer.id);
    this.#registered = -1;
    await this.#turn.do(() => this.#file.unregister(consumer.id)).catch(() => undefined); // closed: others find us gone
  }

  /** Something may have come for us. */
  look(): void {
    const version = this.#file.database.dataVersion();
    if (version === this.#version) return;
    this.#version = version;
    for (const id of this.#local.keys())
      if (this.#file.anythingFor(id)) return this.#turn.add(this.#receiveJob, "settle");
  }

  /** Every third of a lease. */
  renew(): void {
    if (this.#local.size === 0) return;
    void this.#turn
      .do(() => [...this.#local.keys()].filter((id) => !this.#file.renew(id)))
      .then((gone) => Promise.all(gone.map((id) => this.#registerAgain(id))))
      .catch(() => undefined); // at the next renewal again
  }

  /** Every second: those who are gone, what is too old, and whether the file was deleted. True when it is another one now. */
  tidy(): boolean {
    if (this.#file.database.replaced()) {
      this.#reopen();
      return true;
    }
    for (const consumer of this.#local.values())
      if (this.#file.overflows(consumer.id, mostWaiting)) this.#trim(consumer);
    const gone = this.#liveness.gone(this.#file.consumers().filter(({ id }) => !this.#local.has(id)));
    const now = this.now();
    if (gone.length > 0 || this.#file.anyExpired(now)) {
      void this.#turn
        .do(() => {
          for (const id of gone) this.#file.unregister(id);
          this.#file.removeExpired(now);
        })
        .catch(() => undefined); // in a second again
    }
    return false;
  }

  #trim(consumer: DirectConsumer): void {
    void this.#turn
      .do(() => this.#file.trim(consumer.id, mostWaiting))
      .then((count) => consumer.dropped(count))
      .catch(() => undefined); // in a second again
  }

  settled(): Promise<void> {
    return this.#turn.settled();
  }

  close(): void {
    for (const timer of this.#delayed) timer[Symbol.dispose]();
    try {
      if (this.#local.size > 0)
        this.#file.database.transaction(() => {
          for (const id of this.#local.keys()) this.#file.unregister(id);
        });
    } catch {
      // Others find us gone.
    }
    this.#turn.close();
    this.#file.database.close();
  }

  readonly #sendJob: Job = {
    run: () => {
      this.#sending.push(...this.#parcels.splice(0));
      for (const { message, remote } of this.#sending) {
        const { to, key = null, replyTo = null, expiresAt = null, headers, body } = message;
        const topic = to.kind === "inbox" ? "" : to.topic;
        for (const id of remote) this.#file.put(id, topic, key, replyTo, expiresAt, encodeHeaders(headers), body);
      }
    },
    committed: () => {
      for (const { message } of this.#sending.splice(0)) message.stored();
    },
    failed: (error, stored) => {
      for (const { message } of [...this.#sending.splice(0), ...this.#parcels.splice(0)]) message.failed(stored, error);
    },
  };

  readonly #receiveJob: Job = {
    run: () => {
      this.#received = [];
      for (const consumer of this.#local.values()) {
        if (!consumer.open) continue;
        const rows = this.#file.take(consumer.id, takeAtOnce);
        if (rows.length > 0) this.#received.push([consumer, rows]);
      }
    },
    committed: () => {
      for (const [consumer, rows] of this.#received.splice(0)) {
        consumer.offer(
          rows.map((row) => ({
            message: messageOf(row, consumer.address !== undefined),
            expires: row.expires ?? undefined,
          })),
        );
        if (rows.length === takeAtOnce) this.#turn.add(this.#receiveJob, "settle");
      }
    },
    failed: () => (this.#version = -1),
  };

  #sendNow(message: OutMessage): void {
    const { to } = message;
    const ids =
      to.kind === "inbox"
        ? this.#inbox(to.address)
        : this.#listeners(to.kind === "direct" ? to.topic : "", message.replyTo !== undefined);
    if (ids.length === 0 && to.kind === "inbox")
      return message.failed("no", new DriverError("BUS_NOT_FOUND", "sqlite: nobody waits for this answer any more"));
    if (ids.length === 0 && message.replyTo !== undefined)
      return message.failed(
        "no",
        new DriverError("BUS_NO_RESPONDER", `sqlite: nobody listens to "${to.kind === "direct" ? to.topic : ""}"`),
      );
    const remote: number[] = [];
    let refused = 0;
    for (const id of ids) {
      const consumer = this.#local.get(id);
      if (consumer === undefined) remote.push(id);
      else if (consumer.open)
        consumer.offer([{ message: passOn(message, consumer.address !== undefined), expires: message.expiresAt }]);
      else {
        refused += 1;
        if (message.replyTo === undefined) consumer.dropped(1);
      }
    }
    if (remote.length > 0) this.#parcels.push({ message, remote });
    else if (refused === 0 || refused < ids.length || message.replyTo === undefined) message.stored();
    else
      message.failed(
        "no",
        new DriverError("BUS_FULL", "sqlite: whoever answers has too much waiting", { retryable: true }),
      );
  }

  #sendLater(message: OutMessage, due: number): void {
    const timer = this.#context.clock.after(due - this.now(), () => {
      this.#delayed.delete(timer);
      this.send([{ ...plain(message), notBefore: undefined, stored: () => undefined, failed: () => undefined }]);
    });
    this.#delayed.add(timer);
    message.stored();
  }

  #inbox(address: string): number[] {
    const id = this.#registry.at(address);
    return id === undefined ? [] : [id];
  }

  /** A request is not left to somebody who just died. */
  #listeners(topic: string, request: boolean): number[] {
    return this.#registry.choose(topic, request, (id) => {
      const row = this.#registry.rows.get(id);
      return this.#local.has(id) || (row !== undefined && !(request && this.#liveness.isDead(row)));
    });
  }

  /** Who listens, as of now. */
  #refresh(): void {
    const registered = this.#file.registry();
    if (registered === this.#registered) return;
    this.#registered = registered;
    this.#registry = new DirectRegistry(this.#file.consumers());
  }

  async #registerAgain(id: number): Promise<void> {
    const consumer = this.#local.get(id);
    if (consumer === undefined) return;
    this.#local.delete(id);
    const { group, address, patterns, answers } = consumer;
    consumer.id = await this.#turn.do(() => {
      const row = this.#file.register(this.#liveness.self, group, address);
      this.#file.wants(row, patterns, answers);
      return row;
    });
    this.#local.set(consumer.id, consumer);
    this.#registered = -1;
  }

  /** The file was deleted: a new one, with our consumers in it. What was under way between processes is gone. */
  #reopen(): void {
    const file = new DirectFile(this.#path, this.#context.prefix);
    this.#turn.close();
    this.#file.database.close();
    this.#file = file;
    this.#turn = this.#newTurn();
    this.#registered = -1;
    this.#version = -1;
    for (const id of [...this.#local.keys()]) void this.#registerAgain(id).catch(() => undefined); // the next renewal does
  }

  #newTurn(): Turn {
    return new Turn(this.#file.database, this.#context.clock, this.#options.busyTimeoutMs, {
      entered: () => undefined,
      blocked: () => undefined,
      unblocked: () => undefined,
      trouble: () => undefined,
      mark: () => undefined,
      left: () => undefined,
    });
  }

  /** 160 bits of chance. */
  #newAddress(): string {
    const word = (): string =>
      Math.floor(this.#context.clock.random() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, "0");
    return `inbox.${word()}${word()}${word()}${word()}${word()}`;
  }
}

function messageOf(row: DirectRow, inbox: boolean): RowMessage {
  return new RowMessage({ ...row, seq: row.id }, undefined, inbox ? "inbox" : "direct", undefined, {
    deliveries: 1,
    attempts: 0,
    notBefore: undefined,
    notes: null,
    replyTo: row.reply ?? undefined,
  });
}

/** As if it had gone by the file. */
function passOn({ to, key, replyTo, headers, body }: OutMessage, inbox: boolean): RowMessage {
  const row = {
    seq: 0,
    topic: to.kind === "inbox" ? "" : to.topic,
    key: key ?? null,
    headers: encodeHeaders(headers),
    body,
  };
  return new RowMessage(row, undefined, inbox ? "inbox" : "direct", undefined, {
    deliveries: 1,
    attempts: 0,
    notBefore: undefined,
    notes: null,
    replyTo,
  });
}

function plain(message: OutMessage): OutMessage {
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
    stored: () => undefined,
    failed: () => undefined,
  };
}
