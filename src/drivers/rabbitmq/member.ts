import type { Consumption, InMessage, Note, Settlement, Sink, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { copied, pastCopied } from "./copied.ts";
import type { GroupDefinition } from "./definition-fold.ts";
import { Feed, type FeedHost, type FeedSource } from "./feed.ts";
import { isIdle, labelOf } from "./idle.ts";
import type { Holding } from "./presence.ts";
import { LostLetters } from "./lost-letters.ts";
import type { RabbitMessage } from "./message.ts";
import { holdingOf } from "./member-view.ts";
import { Notes } from "./notes.ts";
import { prefetchOf } from "./prefetch.ts";
import { Progress } from "./progress.ts";
import { Seats } from "./seats.ts";
import type { Session } from "./session.ts";
import { give, settleOne } from "./settler.ts";
import type { Shared } from "./shared.ts";

const drainMs = 50;

/** One consumption of a group: its queues, what it holds of them, what becomes of it. */
export class GroupMember implements Consumption, FeedHost {
  readonly address: undefined = undefined;
  readonly session: Session;
  readonly notes: Notes;
  readonly seat: string;
  readonly group: string;
  readonly #shared: Shared;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #feeds = new Map<string, Feed>();
  readonly #watches: Disposable[] = [];
  readonly #seats: Seats;
  readonly #lost: LostLetters;
  readonly #progress = new Progress();
  /** Ids that a former consumption of this process settled. */
  readonly #before: ReadonlySet<string>;
  #definition: GroupDefinition;
  readonly #closing = new AbortController();
  #state: "open" | "stopped" | "closed" = "open";
  #isOpen = false;
  #failure: unknown;
  #looking = false;
  /** It goes on behind the one that was last, whatever came and went since. */
  #turn = this.#feeds.values();
  #timer: Disposable | undefined;

  constructor(shared: Shared, definition: GroupDefinition, sink: Sink, window: Window) {
    const { session, groups } = shared;
    this.#shared = shared;
    this.session = session;
    this.group = definition.spec.group;
    this.seat = `${session.process}-${shared.nextNumber()}`;
    this.notes = new Notes(session, this.group);
    this.#definition = definition;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#before = groups.settledBefore(definition);
    this.#lost = new LostLetters(
      session,
      this.group,
      (reason) => this.#sink.lost(undefined, reason),
      (stream, id) => (shared.definitions.replay(id, stream)?.history.length ?? 0) > 0,
    );
    this.#seats = new Seats(shared, this.seat, this.group, {
      mine: (refs) => this.#own(refs),
      joined: () => this.#feeds.forEach((feed) => feed.passOn()),
    });
  }

  get #isOrdered(): boolean {
    return this.#definition.spec.order === "group";
  }

  /** Resolves when it reads; of an ordered one, when it takes part. */
  async open(): Promise<void> {
    const { definitions } = this.#shared;
    this.#watches.push(
      definitions.listen({
        group: (name, definition) => {
          if (name === this.group) this.#defined(definition);
        },
        streams: () => this.#streamsChanged(),
      }),
    );
    try {
      if (this.#isOrdered) {
        this.#seats.open(this.#definition);
        await pastCopied(this.session, definitions, this.#definition, this.#closing.signal);
      } else {
        await this.#openFeeds();
        if (this.#failure === undefined) this.#seats.open(undefined);
      }
      if (!this.#definition.spec.live) await this.#lost.open();
      if (this.#failure !== undefined) throw this.#failure;
      this.#shared.members.add(this);
      this.#shared.groups.resumed(this.group);
      this.#isOpen = true;
    } catch (error) {
      await this.close(AbortSignal.abort());
      throw this.#failure ?? error;
    }
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else
      for (const feed of this.#feeds.values())
        if (
          labelOf(feed.source) === partition ||
          (feed.source.partition === undefined && partition.startsWith(`${feed.source.label}/`))
        )
          feed.most = window.messages;
    this.#want();
    this.look();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) {
      const message = each as RabbitMessage;
      if (!message.over) this.#settle(message);
    }
    this.#drained();
    this.look();
  }

  async settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    if (this.#isOrdered && batch.some(({ how }) => how !== "dead"))
      throw new DriverError(
        "BUS_UNSUPPORTED",
        "rabbitmq: a message of an ordered group keeps its place: it can't be retried or released by itself",
      );
    const results = await Promise.all(
      batch.map(async (settlement) => {
        const message = settlement.message as RabbitMessage;
        const feed = this.#feedOf(message);
        if (feed === undefined || !feed.isOurs(message)) return "stale";
        const result = await settleOne(this.#shared, this.group, this.seat, settlement);
        if (result === "done" && !message.over) {
          this.#settle(message);
          feed.tell(); // what it is now is stored elsewhere: were it returned, it would be twice
          this.#drained();
        }
        return result;
      }),
    );
    this.look();
    return results;
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    // what runs after a note may kill the process, and what was handled before would pay for it
    for (const feed of this.#feeds.values()) feed.tell();
    return await Promise.all(
      notes.map(async (note) => {
        const message = note.message as RabbitMessage;
        const isOurs = (): boolean => this.#feedOf(message)?.isOurs(message) === true;
        if (!isOurs()) return "stale";
        await this.notes.record(note);
        this.#drained();
        return isOurs() ? "done" : "stale";
      }),
    );
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#feeds.values()].map((feed) => feed.flush()));
  }

  async stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    await Promise.all([...this.#feeds.values()].map((feed) => feed.stop()));
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    const closing = this.#close(!signal.aborted);
    const aborted = Promise.withResolvers<void>();
    const abort = (): void => aborted.resolve();
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([closing.catch(() => undefined), aborted.promise]); // what could not be told the end of the channels tells
    signal.removeEventListener("abort", abort);
  }

  // ── what feeds ask

  look(): void {
    if (this.#looking) return;
    this.#looking = true;
    queueMicrotask(() => {
      this.#looking = false;
      this.#pump();
    });
  }

  copied(label: string): Promise<readonly number[]> {
    const { group } = this;
    const { id } = this.#definition;
    return copied(this.#shared.definitions, { group, id, stream: label }, this.#closing.signal);
  }

  isOurs(token: string): boolean {
    return token === this.#definition.id;
  }

  async isCurrent(): Promise<boolean> {
    const { definitions } = this.#shared;
    await definitions.current();
    return this.#state !== "closed" && definitions.group(this.group).definition?.id === this.#definition.id;
  }

  async pastSince(token: string, label: string, partition: number): Promise<number | undefined> {
    if (!(await this.isCurrent()) || this.isOurs(token)) return undefined;
    const { id, lanes } = this.#definition;
    const lane = lanes[label];
    const isMade = lane !== undefined && (lane.ready || lane.grows === true);
    if (!isMade || lane.from === undefined || this.#shared.definitions.isCaughtUp(id, label, partition))
      return Number.POSITIVE_INFINITY;
    return "time" in lane.from ? lane.from.time : 0;
  }

  caughtUp(label: string, partition: number): Promise<void> {
    return this.#shared.definitions.caughtUp(this.group, this.#definition.id, label, partition);
  }

  passesOn(message: RabbitMessage): boolean {
    const { copy } = message;
    const bounces = copy?.b ?? 0;
    if (copy === undefined || bounces >= 3 * this.#seats.count || this.#seats.count < 2) return false;
    give(this.#shared, this.group, message, { ...copy, b: bounces + 1 }).then(
      () => this.#feedOf(message)?.done(message),
      () => this.#feedOf(message)?.buffer.push(message), // handed out here once more
    );
    return true;
  }

  lost(feed: Feed, given: readonly RabbitMessage[]): void {
    for (const message of given) this.#credit.give(message.size);
    if (this.#state === "closed") return;
    if (feed.source.partition !== undefined) this.#sink.revoked({ partition: labelOf(feed.source) });
    else if (given.length > 0) this.#sink.revoked(given);
    this.look(); // there is room for what others hold back
  }

  missing(feed: Feed): void {
    const { lane, label } = feed.source;
    if (lane === "stream" && !this.#shared.definitions.streams.has(label)) return this.#drop(feed);
    this.#fail(new DriverError("BUS_NOT_FOUND", `group (${this.group}): its queue "${feed.source.queue}" is gone`));
  }

  /** For those who ask. */
  holding(): Holding {
    return holdingOf(this.group, this.#feeds.values(), this.#progress);
  }

  // ── its own

  #feedOf(message: RabbitMessage): Feed | undefined {
    const owner = message.feed;
    return owner instanceof Feed ? owner : undefined;
  }

  #settle(message: RabbitMessage): void {
    message.over = true;
    this.#credit.give(message.size);
    this.notes.forget(message);
    this.#progress.settle(message);
    const feed = this.#feedOf(message);
    feed?.done(message);
    if (message.isRepeated) feed?.tell(); // one more delivery would count, whatever kills the process next
  }

  #pump(): void {
    if (this.#state !== "open" || !this.#credit.hasRoom) return;
    const batch: RabbitMessage[] = [];
    const now = this.session.clock.now();
    for (let idle = 0; idle < this.#feeds.size && this.#credit.hasRoom;) {
      const feed = this.#nextFeed();
      const message = feed.next();
      if (message === undefined) {
        idle += 1;
        continue;
      }
      idle = 0;
      if ((message.expiresAt ?? Number.POSITIVE_INFINITY) <= now || this.#before.has(message.id)) {
        message.over = true;
        feed.done(message);
        continue;
      }
      feed.given.add(message);
      this.#credit.take(message.size);
      this.#progress.reach(feed.source.label, message);
      batch.push(message);
    }
    if (batch.length > 0) this.#sink.deliver(batch);
  }

  /** Each in its turn. There is one. */
  #nextFeed(): Feed {
    let next = this.#turn.next();
    if (next.done === true) {
      this.#turn = this.#feeds.values();
      next = this.#turn.next();
    }
    return next.value!;
  }

  #want(): void {
    for (const feed of this.#feeds.values()) feed.want(this.#credit.window.messages);
  }

  async #openFeeds(): Promise<void> {
    const sources = this.#shared.groups.sourcesOf(this.#definition);
    for (const source of sources) {
      if (this.#feeds.has(source.queue) || this.#state !== "open") continue;
      const feed = new Feed(this, source, source.prefetch);
      this.#feeds.set(source.queue, feed);
      feed.want(this.#credit.window.messages);
      await feed.open();
    }
  }

  /** The partitions that are ours as the members are now; those that are not are given up when nothing of them runs. */
  #own(refs: ReadonlySet<string>): void {
    if (this.#state !== "open") return;
    const sources = this.#shared.groups.sourcesOf(this.#definition);
    for (const source of sources) {
      const ref = labelOf(source);
      const feed = this.#feeds.get(source.queue);
      if (refs.has(ref) && feed === undefined) this.#openOwned(source);
      else if (feed !== undefined) feed.draining = !refs.has(ref);
    }
    this.#drained();
    this.look();
  }

  #openOwned(source: FeedSource): void {
    const feed = new Feed(this, source, prefetchOf(this.#shared.definitions, source, this.#credit.window));
    this.#feeds.set(source.queue, feed);
    this.#seats.has(this.#refs());
    feed.open().catch((error: unknown) => {
      if (this.#feeds.get(source.queue) !== feed) return;
      this.#feeds.delete(source.queue);
      void feed.close(false);
      if ((error as { readonly code?: unknown }).code === 404) this.missing(feed);
      else this.#later();
    });
  }

  #refs(): readonly string[] {
    return [...this.#feeds.values()].map(({ source }) => labelOf(source));
  }

  /** Gives up what is another's and of which nothing runs. */
  #drained(): void {
    if (!this.#isOrdered || this.#state !== "open") return;
    let waits = false;
    for (const [queue, feed] of this.#feeds) {
      if (!feed.draining) continue;
      if (!isIdle(feed, this.session.clock.now() + drainMs)) waits = true;
      else {
        this.#feeds.delete(queue);
        this.#release(feed);
      }
    }
    if (waits) this.#later();
  }

  #release(feed: Feed): void {
    const given = [...feed.given];
    for (const message of given) this.#credit.give(message.size);
    feed.close(true).then(
      () => this.#seats.has(this.#refs()),
      () => undefined, // gone with the line
    );
    this.#sink.revoked({ partition: labelOf(feed.source) });
    this.look();
  }

  #later(): void {
    this.#timer ??= this.session.clock.after(drainMs, () => {
      this.#timer = undefined;
      this.#seats.look();
      this.#drained();
    });
  }

  #defined(definition: GroupDefinition | undefined): void {
    if (this.#state !== "open") return;
    if (definition === undefined || definition.id !== this.#definition.id)
      return this.#fail(new DriverError("BUS_NOT_FOUND", `group (${this.group}): it was deleted`));
    const before = this.#definition;
    this.#definition = definition;
    if (JSON.stringify(before.spec) !== JSON.stringify(definition.spec)) this.#sink.spec(definition.spec);
    if (Object.values(definition.lanes).some(({ ready }) => !ready)) return;
    if (this.#isOrdered) this.#seats.changed(definition);
    else this.#openFeeds().catch((error: unknown) => this.#fail(error));
  }

  /** What is read of a stream that was deleted ends with it. */
  #streamsChanged(): void {
    for (const feed of this.#feeds.values())
      if (feed.source.lane === "stream" && !this.#shared.definitions.streams.has(feed.source.label)) this.#drop(feed);
  }

  #drop(feed: Feed): void {
    if (!this.#feeds.delete(feed.source.queue)) return;
    const given = [...feed.given];
    void feed.close(false);
    this.lost(feed, given);
  }

  #fail(error: unknown): void {
    if (this.#state === "closed") return;
    const isGone = (error as { readonly code?: unknown }).code === "BUS_NOT_FOUND";
    this.#shared.groups.lost(this.#definition, this.#since(), this.#progress.settled, isGone);
    void this.#close(false).catch(() => undefined); // nothing is there to be told
    if (this.#isOpen) this.#sink.ended(error, false);
    else this.#failure = error; // who opens it is told
  }

  #since(): number {
    const unsettled = [...this.#feeds.values()].flatMap((feed) => [...feed.held()]);
    return this.#progress.since(this.#definition, unsettled);
  }

  async #close(noted: boolean): Promise<void> {
    this.#state = "closed";
    this.#closing.abort();
    this.#shared.members.delete(this);
    this.#shared.left(this);
    this.#timer?.[Symbol.dispose]();
    for (const watch of this.#watches.splice(0)) watch[Symbol.dispose]();
    this.#lost.close();
    if (!noted) this.#seats.close(); // others take over, whenever the server says that the channels are closed
    const feeds = [...this.#feeds.values()];
    await Promise.all(feeds.map((feed) => feed.close(noted)));
    this.#feeds.clear();
    await this.notes.close();
    this.#seats.close();
    if (noted && this.#definition.spec.live) await this.#shared.groups.left(this.group, this.#definition.id);
  }
}
