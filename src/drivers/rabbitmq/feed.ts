import { Fifo } from "../../internal/fifo.ts";
import type { AmqpDelivery } from "./client.ts";
import { isMissing } from "./errors.ts";
import { HistoryGate } from "./history-gate.ts";
import { Holder } from "./holder.ts";
import { labelOf } from "./idle.ts";
import { type Place, RabbitMessage } from "./message.ts";
import type { Notes } from "./notes.ts";
import type { Session } from "./session.ts";
import { type CopyNote, markOf } from "./wire.ts";

export interface FeedSource {
  readonly queue: string;
  readonly lane: "stream" | "queue";
  /** The stream's name, or the queue lane's. */
  readonly label: string;
  /** Of an ordered group. */
  readonly partition: number | undefined;
  /** Of an ordered group: what was before it. */
  readonly history: string | undefined;
  /** Its routing keys are topics, without a partition before them. */
  readonly whole?: boolean;
  /** What a member may hold of it at most. */
  readonly prefetch?: number | undefined;
}

/** What a feed needs of its member. */
export interface FeedHost {
  readonly session: Session;
  readonly notes: Notes;
  readonly seat: string;
  /** Something may be handed out. */
  look(): void;
  /** The past of a stream is copied: the partitions that have some. */
  copied(label: string): Promise<readonly number[]>;
  /** A token of the group as it is, and not of a former or a later making of it. */
  isOurs(token: string): boolean;
  /** Whether the group is as it was when its member began. */
  isCurrent(): Promise<boolean>;
  /**
   * Of a token that is not ours. Undefined: it is of a later making. Else what is behind it, up to ours, comes with our past if it was
   * published at this time or later.
   */
  pastSince(token: string, label: string, partition: number): Promise<number | undefined>;
  /** The past of a partition is handled. */
  caughtUp(label: string, partition: number): Promise<void>;
  /** One that gave it away has it again: another one is to have it. True: it is passed on. */
  passesOn(message: RabbitMessage): boolean;
  /** These are ours no more. */
  lost(feed: Feed, given: readonly RabbitMessage[]): void;
  /** Its queue is gone. */
  missing(feed: Feed): void;
}

/** What came from the server; `message` undefined: one of the driver's own. */
interface Arrival {
  readonly raw: AmqpDelivery;
  readonly queue: string;
  readonly message: RabbitMessage | undefined;
}

const againMs = 100;
const noteRounds = 4;
const mostPrefetch = 20_000;
const mostParked = 512;

/** One queue of a group on a channel of its own: what came and waits for room, what is out. */
export class Feed {
  readonly source: FeedSource;
  readonly buffer: Fifo<RabbitMessage> = new Fifo();
  /** With the core, unsettled. */
  readonly given: Set<RabbitMessage> = new Set();
  /** Most that may be out of it. */
  most: number = Number.POSITIVE_INFINITY;
  /** Nothing more is handed out of it. */
  draining = false;
  readonly #host: FeedHost;
  readonly #fixed: number | undefined;
  readonly #place: Place;
  readonly #parked = new Map<RabbitMessage, Disposable>();
  #holder: Holder | undefined;
  #consumers: { readonly tag: string; readonly count: number }[] = [];
  #wanted = 0;
  #adjusting: Promise<void> | undefined;
  #gate: HistoryGate | undefined;
  /** What came behind a token of which it is not known yet of which making it is. */
  #behind: Arrival[] | undefined;
  /** Between the token of a former making, whose past nobody handled, and ours: what was published since then comes with our past. */
  #skipSince = Number.POSITIVE_INFINITY;
  #hadToken = false;
  #retry: Disposable | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  /** `fixed`: of a queue with one active consumer, whose credit can't change. */
  constructor(host: FeedHost, source: FeedSource, fixed: number | undefined) {
    this.#host = host;
    this.source = source;
    const { lane, label, whole, partition } = source;
    // what is revoked is named so: an ordered group's queue is one, whatever partition a message was sent to
    this.#place = { lane, stream: label, whole, partition: partition === undefined ? undefined : labelOf(source) };
    this.#fixed = fixed === undefined ? undefined : Math.min(Math.max(fixed, 1), mostPrefetch);
  }

  get parked(): number {
    return this.#parked.size;
  }

  /** What the server holds for us. */
  *held(): IterableIterator<RabbitMessage> {
    yield* this.given;
    yield* this.buffer;
    yield* this.#parked.keys();
    if (this.#gate !== undefined) yield* this.#gate.waiting;
    for (const { message } of this.#behind ?? []) if (message !== undefined) yield message;
  }

  /** The first try rejects; when it was open it is opened again by itself. */
  async open(): Promise<void> {
    const holder = await Holder.open(this.#host.session, {
      message: (raw, queue) => this.#take(holder, raw, queue),
      ended: () => this.#ended(holder),
      cancelled: (queue) => {
        if (this.#holder !== holder || this.#closing !== undefined) return;
        if (queue === this.source.queue) this.#host.missing(this);
        else if (this.#gate !== undefined) void holder.close().then(() => this.#ended(holder)); // its past was deleted
      },
    });
    if (this.#closed) return void holder.close();
    this.#holder = holder;
    this.#consumers = [];
    try {
      if (this.#fixed === undefined) await this.#adjust();
      else await holder.consume(this.source.queue, this.#fixed);
    } catch (error) {
      if (this.#holder === holder) this.#holder = undefined;
      await holder.close();
      throw error;
    }
  }

  /** How much it may have of the server, beside what is parked. */
  want(messages: number): void {
    if (this.#fixed !== undefined || this.#wanted === messages) return;
    this.#wanted = messages;
    this.#adjust().catch(() => undefined); // the channel is gone, which is told by itself
  }

  /** The next one that may be handed out. */
  next(): RabbitMessage | undefined {
    if (this.draining || this.given.size >= this.most) return undefined;
    const message = this.buffer.peek();
    if (message === undefined || message.pending) return undefined;
    this.buffer.shift();
    return message;
  }

  /** It is dealt with: the server forgets it. */
  done(message: RabbitMessage): void {
    this.given.delete(message);
    (message.holder as Holder).done(message.tag);
    if (this.#gate?.settled(message) === true) this.#gate = undefined;
    if (this.#change() !== 0) void this.#adjust().catch(() => undefined); // as above
  }

  /** What we gave away, and got back because nobody else was there, somebody else may have now. */
  passOn(): void {
    const now = this.#host.session.clock.now();
    for (const [message, timer] of this.#parked) {
      if ((message.copy?.d ?? 0) > now || message.over || !this.#host.passesOn(message)) continue;
      timer[Symbol.dispose]();
      this.#parked.delete(message);
    }
  }

  isOurs(message: RabbitMessage): boolean {
    return !message.over && (message.holder as Holder).alive;
  }

  tell(): void {
    this.#holder?.tell();
  }

  async flush(): Promise<void> {
    await this.#holder?.flush();
  }

  /** Nothing more comes. An ordered one's consumer stays: who follows would be active before what is held is returned. */
  async stop(): Promise<void> {
    this.draining = true;
    if (this.#fixed !== undefined) return;
    this.#wanted = -1;
    await this.#adjust().catch(() => undefined); // gone already
  }

  /** Returns what is held; `noted`: what was handed out is not to be counted. */
  close(noted: boolean): Promise<void> {
    return (this.#closing ??= this.#close(noted));
  }

  async #close(noted: boolean): Promise<void> {
    this.draining = true;
    this.#retry?.[Symbol.dispose]();
    const holder = this.#holder;
    if (noted && holder !== undefined) {
      await this.stop();
      await holder.flush();
      await this.#noteBack(holder);
    }
    this.#closed = true;
    for (const message of this.held()) message.over = true;
    for (const timer of this.#parked.values()) timer[Symbol.dispose]();
    await holder?.close();
  }

  /** What comes meanwhile is noted as well; what comes between the last note and the end is taken for handed out. */
  async #noteBack(holder: Holder): Promise<void> {
    const known = new Set<RabbitMessage>();
    for (let round = 0; round < noteRounds && holder.alive; round += 1) {
      const fresh = [...this.held()].filter((message) => !message.over && !known.has(message));
      if (fresh.length === 0) return;
      for (const message of fresh) {
        known.add(message);
        message.over = true; // whatever becomes of it here comes too late
      }
      await this.#host.notes.back(fresh.map(({ id }) => id)).catch(() => undefined); // they are counted then
    }
  }

  #take(holder: Holder, raw: AmqpDelivery, queue: string): void {
    let message: RabbitMessage | undefined;
    if (markOf(raw) === undefined) {
      message = new RabbitMessage(raw, this.#place);
      message.holder = holder;
      message.feed = this;
    }
    this.#arrive(holder, { raw, queue, message });
  }

  #arrive(holder: Holder, arrival: Arrival): void {
    const { raw, queue, message } = arrival;
    if (this.#behind !== undefined) return void this.#behind.push(arrival);
    if (message === undefined) return this.#mark(holder, raw);
    const history = queue !== this.source.queue;
    if (!history && message.publishedAt >= this.#skipSince) {
      message.over = true;
      return holder.done(message.tag);
    }
    if (message.isRepeated) this.#readNotes(message);
    if (history) this.#gate?.took(message);
    if (message.copy !== undefined && this.#waits(message, message.copy)) return;
    if (!history && this.#gate?.closed === true) this.#gate.waiting.push(message);
    else this.buffer.push(message);
    this.#host.look();
  }

  /** A copy that is not to be handed out here now. */
  #waits(message: RabbitMessage, { d, u, by }: CopyNote): boolean {
    const now = this.#host.session.clock.now();
    if (d !== undefined && d > now) this.#park(message, d);
    else if (u === undefined || u <= now || by?.includes(this.#host.seat) !== true) return false;
    else if (!this.#host.passesOn(message)) this.#park(message, u);
    return true;
  }

  /** A message of the driver's own. */
  #mark(holder: Holder, raw: AmqpDelivery): void {
    const mark = markOf(raw);
    const tag = raw.fields.deliveryTag;
    const { history, partition, label } = this.source;
    if (mark === "end" && this.#gate !== undefined) {
      for (const message of this.#gate.end(tag)) this.buffer.push(message);
      if (this.#gate.isOver) this.#gate = undefined;
      return this.#host.look();
    }
    if (mark !== "token" || history === undefined || partition === undefined) return holder.done(tag);
    const token = raw.properties.messageId ?? "";
    if (!this.#host.isOurs(token)) {
      this.#behind = [];
      return this.#foreignToken(holder, tag, token, partition);
    }
    this.#hadToken = true;
    this.#skipSince = Number.POSITIVE_INFINITY;
    if (this.#gate !== undefined) return holder.done(tag);
    const gate = (this.#gate = new HistoryGate(this.#host.session, holder, tag, history, {
      isOurs: () => this.#host.isCurrent(),
      caughtUp: () => this.#host.caughtUp(label, partition),
    }));
    this.#host.copied(label).then(
      async (partitions) => {
        if (!holder.alive) return;
        if (partitions.includes(partition) && (await gate.read(this.#fixed ?? 1))) return;
        for (const message of gate.skip()) this.buffer.push(message);
        if (this.#gate === gate) this.#gate = undefined;
        this.#host.look();
      },
      () => undefined, // it is closed
    );
  }

  /** One that a former making of the group left is passed by. One of a later making is the next members', and we end. */
  #foreignToken(holder: Holder, tag: number, token: string, partition: number): void {
    const { clock } = this.#host.session;
    this.#host.pastSince(token, this.source.label, partition).then(
      (since) => {
        if (!holder.alive || since === undefined) return;
        if (!this.#hadToken) this.#skipSince = since;
        holder.done(tag);
        const behind = this.#behind ?? [];
        this.#behind = undefined;
        for (const arrival of behind) this.#arrive(holder, arrival);
        this.#host.look();
      },
      () => {
        if (holder.alive && !this.#closed)
          clock.after(againMs, () => this.#foreignToken(holder, tag, token, partition));
      },
    );
  }

  #park(message: RabbitMessage, until: number): void {
    const { clock } = this.#host.session;
    const timer = clock.after(until - clock.now(), () => {
      this.#parked.delete(message);
      if (message.over) return;
      this.buffer.push(message);
      this.#host.look();
      void this.#adjust().catch(() => undefined); // as above
    });
    this.#parked.set(message, timer);
    void this.#adjust().catch(() => undefined); // as above
  }

  /** Handed out before: what is known of it has to be read first. */
  #readNotes(message: RabbitMessage): void {
    const { notes, session } = this.#host;
    message.pending = true;
    notes.current().then(
      () => {
        notes.apply(message);
        message.pending = false;
        this.#host.look();
      },
      () => {
        if (!message.over && !this.#closed) session.clock.after(againMs, () => this.#readNotes(message));
      },
    );
  }

  #adjust(): Promise<void> {
    return (this.#adjusting ??= this.#adjustAll().finally(() => (this.#adjusting = undefined)));
  }

  /** How much more it may have of the server; below 0: so much less that its last consumer goes. */
  #change(): number {
    if (this.#fixed !== undefined) return 0;
    const wanted =
      this.#wanted <= 0 ? 0 : Math.min(this.#wanted + Math.min(this.#parked.size, mostParked), mostPrefetch);
    const has = this.#consumers.reduce((sum, { count }) => sum + count, 0);
    const last = this.#consumers.at(-1);
    if (wanted >= has || last === undefined) return wanted - has;
    return wanted === 0 || (has - last.count >= wanted && wanted < has / 2) ? wanted - has : 0;
  }

  async #adjustAll(): Promise<void> {
    for (;;) {
      const holder = this.#holder;
      if (holder === undefined || this.#closed) return;
      const count = this.#change();
      if (count > 0) {
        const tag = await holder.consume(this.source.queue, count);
        if (this.#holder === holder) this.#consumers.push({ tag, count });
      } else if (count < 0) await holder.cancel(this.#consumers.pop()!.tag);
      else return;
    }
  }

  #ended(holder: Holder): void {
    if (this.#holder !== holder || this.#closing !== undefined) return;
    this.#holder = undefined;
    this.#consumers = [];
    this.#gate = undefined;
    const given = [...this.given];
    for (const message of this.held()) message.over = true;
    for (const timer of this.#parked.values()) timer[Symbol.dispose]();
    this.#parked.clear();
    this.#behind = undefined;
    this.#skipSince = Number.POSITIVE_INFINITY;
    this.#hadToken = false;
    this.given.clear();
    while (this.buffer.length > 0) this.buffer.shift();
    this.#host.lost(this, given);
    this.#again();
  }

  #again(): void {
    if (this.#closed) return;
    this.#retry?.[Symbol.dispose](); // a channel that ends while it begins to consume says so twice
    this.#retry = this.#host.session.clock.after(againMs, () => {
      if (this.#closed || this.draining || this.#holder !== undefined) return;
      this.open().catch((error: unknown) => {
        if (isMissing(error)) this.#host.missing(this);
        else this.#again();
      });
    });
  }
}
