import type { Consumption, GroupSpec, InMessage, Note, Settlement, Sink, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Acks } from "./acks.ts";
import { Beats } from "./beats.ts";
import { SizedCredit } from "./credit.ts";
import { replyWord } from "./errors.ts";
import { Fetcher, type Fetched, type FetchRequest } from "./fetcher.ts";
import { Floors } from "./floors.ts";
import { type InHand, InHand as Hand } from "./in-hand.ts";
import { leave, pendingOf } from "./leaving.ts";
import type { RedisMessage } from "./message.ts";
import { Resync } from "./resync.ts";
import type { FloorThere, GroupNow, Joined, Seat } from "./seat.ts";
import type { Session } from "./session.ts";
import { record, settle } from "./settlements.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** What a share needs of its member. */
export interface MemberHost {
  readonly session: Session;
  readonly group: string;
  readonly seat: Seat;
  readonly credit: SizedCredit;
  readonly hand: InHand;
  readonly open: boolean;
  readonly closed: boolean;
  look(): void;
  flush(): Promise<void>;
  /** They are others' now. */
  revoke(messages: readonly RedisMessage[], partition?: string): void;
  failed(error: unknown): void;
}

/** What of its group a member has: the whole, beside others, or partitions that are its own. */
export interface Share {
  request(): Pick<FetchRequest, "messages" | "refs" | "woken"> | undefined;
  /** What is to be delivered of it. */
  took(request: FetchRequest, fetched: Fetched): readonly RedisMessage[];
  /** The server refused it. */
  refused(request: FetchRequest): void;
  /** It is in hand. */
  taken(): void;
  wake(ref: string): void;
  poll(): void;
  now(now: GroupNow): void;
  window(partition: string, window: Window): void;
  settled(message: RedisMessage): void;
  recorded(note: Note): void;
  refuses(settlement: Settlement): boolean;
  /** What we don't have of what the server holds for us. */
  missing(refs: ReadonlyMap<string, string>): void;
  /** Nothing that it had is ours any more; partitions that were. */
  forget(): readonly string[];
  /** Nothing more is fetched. */
  stopped(): void;
}

const joinAgainMs = 250;

/** One consumption of a group: what it holds, what becomes of it, its seat. What it reads is its share's. */
export class Member implements Consumption, MemberHost {
  readonly address: undefined = undefined;
  readonly session: Session;
  readonly group: string;
  readonly credit: SizedCredit;
  readonly hand: InHand = new Hand();
  readonly #sink: Sink;
  readonly #share: Share;
  readonly #floors = new Floors();
  readonly #acks: Acks;
  readonly #fetcher: Fetcher;
  readonly #beats: Beats;
  readonly #resync: Resync;
  readonly #join: () => Promise<Joined>;
  readonly #watches: Disposable[] = [];
  #seat: Seat;
  #state: "open" | "stopped" | "closed" = "open";
  #joining = false;
  #stopping: Promise<void> | undefined = undefined;

  constructor(
    session: Session,
    group: string,
    joined: Joined,
    join: () => Promise<Joined>,
    share: (host: MemberHost) => Share,
    sink: Sink,
    window: Window,
  ) {
    const now = session.clock.ticks();
    this.session = session;
    this.group = group;
    this.credit = new SizedCredit(window);
    this.#sink = sink;
    this.#join = join;
    this.#seat = joined.seat;
    this.#share = share(this);
    const fence = {
      stale: (): void => this.#stale(),
      gone: (error: unknown): void => this.failed(error),
    };
    this.#acks = new Acks(session, joined.seat, { ...fence, floor: (ref, lowest) => this.#floor(ref, lowest) });
    this.#fetcher = new Fetcher(session, joined.seat, {
      ...fence,
      request: () => this.#request(),
      took: (request, fetched) => this.#took(request, fetched),
      refused: (request) => this.#share.refused(request),
      deliver: (messages) => this.#deliver(messages),
      poll: () => this.#share.poll(),
    });
    this.#beats = new Beats(session, joined.seat, joined.now.rev, now, {
      ...fence,
      beaten: (each) => this.#beaten(each),
    });
    this.#resync = new Resync(this, {
      asked: () => {
        this.#fetcher.pause();
        this.#beats.now();
      },
      missing: (refs) => this.#share.missing(refs),
      lost: (error, seat) => this.#lost(seat)(error),
      unheard: (lost) => this.#sayLost(lost),
      done: () => this.#fetcher.resume(),
    });
    this.#watches.push(
      session.listen({
        down: () => this.#fetcher.pause(), // until it is known what never came
        up: () => {
          this.#acks.send(); // whoever waits for them, waits no longer
          if (!this.#joining) void this.#resync.run();
        },
        flushed: () => this.failed(new DriverError("BUS_NOT_FOUND", `group (${group}): the database was flushed`)),
      }),
      session.onMessage("w", (message) => this.#woken(message)),
    );
    this.#joined(joined);
  }

  get seat(): Seat {
    return this.#seat;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  get open(): boolean {
    return this.#state === "open" && !this.#joining;
  }

  look(): void {
    this.#fetcher.look();
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.credit.window = window;
    else this.#share.window(partition, window);
    this.look();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const each of messages) {
      const message = each as RedisMessage;
      if (message.over) continue;
      this.#acks.add(message); // first: with the last one its partition may be given up
      this.#drop(message);
    }
    this.look();
  }

  async settle(batch: readonly Settlement[]): Promise<readonly ("done" | "stale" | "unknown")[]> {
    if (batch.some((each) => this.#share.refuses(each)))
      throw new DriverError(
        "BUS_UNSUPPORTED",
        "redis: a message of an ordered group keeps its place: it can't be retried or released by itself",
      );
    const ours = batch.filter(({ message }) => !(message as RedisMessage).over);
    const results = await settle(this.#seat, this.session.context.member.id, ours, this.#lost(this.#seat));
    for (const [index, settlement] of ours.entries()) {
      const message = settlement.message as RedisMessage;
      if (results[index] === "unknown" || message.over) continue;
      this.#drop(message);
      if (settlement.how !== "dead") this.#fetcher.due(settlement.delayMs);
    }
    this.look();
    const of = new Map(ours.map(({ message }, index) => [message, results[index]!]));
    return batch.map(({ message }) => of.get(message) ?? "stale");
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    const ours = notes.filter(({ message }) => !(message as RedisMessage).over);
    const seat = this.#seat;
    const results = await record(seat, this.session.clock.now(), ours, this.#lost(seat));
    const of = new Map<InMessage, "done" | "stale">();
    for (const [index, note] of ours.entries()) {
      const message = note.message as RedisMessage;
      const result = results[index]!;
      of.set(message, result);
      if (result !== "done") continue;
      if (!message.over) this.#share.recorded(note);
      else if (seat === this.#seat) this.#acks.add(message); // acknowledged meanwhile: its note goes, too
    }
    return notes.map(({ message }) => of.get(message) ?? "stale");
  }

  flush(): Promise<void> {
    return this.#acks.flush();
  }

  stop(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "stopped";
      this.#stopping = this.#fetcher.stop().then(() => this.#share.stopped());
    }
    return this.#stopping ?? Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    await unlessAborted(
      this.stop().then(() => this.#acks.flush()),
      signal,
    );
    if (this.closed) return;
    const handedBack = signal.aborted ? [] : pendingOf(this.hand.all());
    this.#end();
    if (this.session.isUp && !this.#joining)
      // who can't be told buries us when our lease ends
      await unlessAborted(
        leave(this.#seat, true, [], handedBack).catch(() => undefined),
        signal,
      );
  }

  /** The group is gone, or the database. */
  failed(error: unknown): void {
    if (this.#state === "closed") return;
    const seat = this.#seat;
    this.#end();
    if (this.session.isUp) leave(seat, true, [], []).catch(() => undefined); // gone, as we are
    this.#sink.ended(error, false);
  }

  revoke(messages: readonly RedisMessage[], partition?: string): void {
    for (const message of messages) this.#drop(message);
    if (this.#state === "closed") return;
    if (partition !== undefined) this.#sink.revoked({ partition });
    else if (messages.length > 0) this.#sink.revoked(messages);
  }

  #end(): void {
    this.#state = "closed";
    void this.#fetcher.stop();
    this.#beats.stop();
    for (const watch of this.#watches.splice(0)) watch[Symbol.dispose]();
    for (const message of [...this.hand.all()]) this.#drop(message);
    this.#share.forget();
    this.#acks.drop();
  }

  /** Nothing more becomes of it here. */
  #drop(message: RedisMessage): void {
    if (message.over) return;
    message.over = true;
    this.#resync.settled(message);
    this.hand.remove(message);
    this.credit.give(message.size);
    this.#share.settled(message);
  }

  #joined({ now, floors }: Joined): void {
    for (const each of floors) this.#startsAt(each);
    this.#said(now);
    this.#share.now(now);
    this.look();
  }

  #startsAt({ ref, lowest, last }: FloorThere): void {
    this.#floors.reached(ref, last);
    this.#floor(ref, lowest);
  }

  #floor(ref: string, lowest: string): void {
    const position = this.#floors.answered(ref, lowest);
    if (position !== undefined && this.#state !== "closed")
      this.#sink.floor(this.session.keys.partitionOf(ref), position);
  }

  #said({ dueMs, lost }: { readonly dueMs: number | undefined; readonly lost: string }): void {
    if (dueMs !== undefined) this.#fetcher.due(dueMs);
    this.#hear(lost);
  }

  #hear(lost: string): void {
    this.#resync.heard(lost);
    this.#sayLost(lost);
  }

  #sayLost(lost: string): void {
    if (lost !== "" && this.#state !== "closed")
      this.#sink.lost(lost === "?" ? undefined : Number(lost), "gone from the stream before it was handled");
  }

  #beaten(now: GroupNow): void {
    if (this.#state === "closed" || this.#joining) return;
    this.#said(now);
    if (now.spec !== undefined) this.#sink.spec(now.spec satisfies GroupSpec);
    const lost = this.hand.refs().filter((ref) => !now.lanes.has(ref.slice(0, ref.lastIndexOf(":"))));
    for (const ref of lost) this.revoke([...this.hand.of(ref)]); // its stream was deleted
    this.#share.now(now);
  }

  #woken(message: Buffer): void {
    const text = message.toString();
    const blank = text.indexOf(" ");
    if (text.slice(0, blank) !== this.#seat.group) return;
    this.#share.wake(text.slice(blank + 1));
    this.look();
  }

  #request(): FetchRequest | undefined {
    if (!this.open) return undefined;
    const request = this.#share.request();
    if (request === undefined) return undefined;
    const messages = Math.min(request.messages, this.session.options.batchSize);
    return { ...request, messages, bytes: this.credit.bytes, step: this.credit.step, idle: true };
  }

  #took(request: FetchRequest, fetched: Fetched): readonly RedisMessage[] {
    this.#hear(fetched.lost);
    const messages = this.#share.took(request, fetched);
    this.hand.add(messages);
    for (const message of messages) {
      this.credit.take(message.size);
      this.#floors.reached(message.ref!, message.id!);
    }
    this.#share.taken();
    return messages;
  }

  #deliver(messages: readonly RedisMessage[]): void {
    if (this.#state === "open") return this.#sink.deliver(messages.filter(({ over }) => !over));
    if (this.#state === "closed") return;
    const back = pendingOf(messages.filter(({ over }) => !over));
    for (const message of messages) this.#drop(message);
    leave(this.#seat, false, [], back).catch(() => undefined); // swept when our seat is
  }

  #lost(seat: Seat): (error: unknown) => void {
    return (error) => {
      if (seat !== this.#seat) return;
      if (replyWord(error) === "STALE") this.#stale();
      else this.failed(error);
    };
  }

  /** Others took us for dead: nothing of what we hold is ours any more. */
  #stale(): void {
    if (this.#state === "closed" || this.#joining) return;
    this.#joining = true;
    this.#acks.drop();
    const messages = [...this.hand.all()];
    for (const message of messages) this.#drop(message);
    const partitions = this.#share.forget();
    for (const partition of partitions) this.#sink.revoked({ partition });
    if (partitions.length === 0 && messages.length > 0) this.#sink.revoked(messages);
    void this.#joinAgain();
  }

  async #joinAgain(): Promise<void> {
    for (;;) {
      try {
        const at = this.session.clock.ticks();
        const joined = await this.#join();
        if (this.closed) return void leave(joined.seat, true, [], []).catch(() => undefined); // or its lease ends
        this.#seat = joined.seat;
        this.#joining = false;
        this.#acks.use(joined.seat);
        this.#fetcher.use(joined.seat);
        this.#beats.use(joined.seat, joined.now.rev, at);
        if (joined.now.spec !== undefined) this.#sink.spec(joined.now.spec);
        return this.#joined(joined);
      } catch (error) {
        if (this.closed) return;
        if (replyWord(error) === "GONE") return this.failed(error);
      }
      await new Promise<void>((resolve) => void this.session.clock.after(joinAgainMs, resolve));
      if (this.closed) return;
    }
  }
}
