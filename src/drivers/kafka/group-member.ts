import type { Consumption, InMessage, Note, Settlement, Sink, Window } from "../../driver.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { inconsistent } from "./attached-group.ts";
import { Committer } from "./committer.ts";
import { type GroupEntry, sinceOf } from "./control-fold.ts";
import { Coordinator } from "./coordinator.ts";
import { classify } from "./errors.ts";
import { FetchLoop } from "./fetch-loop.ts";
import type { DueOf, GroupLane, LaneHost } from "./group-lane.ts";
import { Membership } from "./membership.ts";
import type { KafkaMessage } from "./message.ts";
import { refOf } from "./names.ts";
import { Ownership } from "./ownership.ts";
import { type Result, Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";
import { TopicFilter } from "./topic-filter.ts";

const lookMs = 500;
/** So many looks later what is settled of the queue goes. */
const cutEvery = 60;
/** What an operator sees of what is in hand is no older. */
const tellMs = 100;
const graceMs = 250;

/** What a member works on: a group's streams and its queue, or what is due later. */
export interface Work {
  readonly group: string;
  /** Each lane's topic and how many partitions it has, as is known now. */
  lanes(): ReadonlyMap<string, { readonly topic: string; readonly partitions: number }>;
  /** As it stands; undefined: there is none any more. */
  entry(): GroupEntry | undefined;
  kindOf(lane: string): "stream" | "queue";
  readonly dueOf: DueOf;
  /** Makes again what it reads, where that is neither a stream's nor a group's own. */
  readonly heal?: () => Promise<void>;
}

/**
 * A member of a group: it owns partitions of all its lanes, reads them, and commits what is settled. Partitions that are to be
 * another's go over when nothing of them runs any more.
 */
export class GroupMember implements Consumption, LaneHost {
  readonly address: undefined = undefined;
  readonly #shared: Shared;
  readonly #work: Work;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #left: () => void;
  readonly #coordinator: Coordinator;
  readonly #membership: Membership;
  readonly #committer: Committer;
  readonly #settler: Settler;
  readonly #loop: FetchLoop;
  readonly #ownership: Ownership;
  readonly #filters = new Map<string, TopicFilter>();
  readonly #listening: Disposable;
  #entry: GroupEntry;
  #state: "open" | "stopped" | "closed" = "open";
  #pumping = false;
  #timer: Disposable | undefined;
  #look: Disposable | undefined;
  #looks = 0;
  #refusal: { readonly error: unknown } | undefined;
  readonly #joined = Promise.withResolvers<void>();

  constructor(shared: Shared, work: Work, entry: GroupEntry, sink: Sink, window: Window, left: () => void) {
    this.#shared = shared;
    this.#work = work;
    this.#entry = entry;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#left = left;
    const { session } = shared;
    const { module, clock, options, cluster, names, context } = session;
    const group = names.group(work.group);
    this.#coordinator = new Coordinator(cluster, group);
    this.#loop = new FetchLoop(cluster, options);
    const { sessionTimeoutMs, heartbeatMs, requestTimeoutMs } = options;
    const { id, name, host, pid, since } = context.member;
    this.#membership = new Membership({
      ...{ module, clock, group, sessionTimeoutMs, heartbeatMs, requestTimeoutMs },
      link: (duty) => this.#coordinator.link(duty),
      coordinatorMoved: () => this.#coordinator.moved(),
      about: () => ({
        topics: [...work.lanes().values()].map(({ topic }) => topic).toSorted(),
        member: { id, name, host, pid, since: since.getTime() },
        stops: this.#state !== "open",
      }),
      lanes: () => new Map([...work.lanes()].map(([lane, { partitions }]) => [lane, partitions])),
      refOf,
      held: () => this.#ownership.held,
      shared: (part, shares) => {
        this.#joined.resolve();
        this.#ownership.shared(part, shares);
      },
      lost: () => this.#ownership.lost(),
      refused: (error) => {
        const isOthers = classify(error).code === "BUS_CONFLICT";
        this.#refusal = { error: isOthers ? inconsistent(work.group, group, error) : error };
        this.#ended(this.#refusal.error);
      },
    });
    this.#committer = new Committer({
      ...{ module, clock, group, requestTimeoutMs },
      coordinator: this.#coordinator,
      membership: this.#membership,
    });
    this.#ownership = new Ownership({
      ...{ shared, work, lanes: this, committer: this.#committer, membership: this.#membership, loop: this.#loop },
      entry: () => this.#entry,
      isOpen: () => this.#state === "open",
      arrived: () => this.#pump(),
      said: (reason) => this.#state !== "closed" && sink.lost(undefined, reason),
      dropped: (lane) => this.#dropped(lane),
      taken: (lane) => this.floor(lane),
      refused: (error) => this.#ended(error),
    });
    this.#settler = new Settler(shared, work.group, this.#committer, () => this.#ownership.others);
    this.#listening = session.control.listen((what, of) => this.#changed(what, of));
  }

  /** Resolves when it is a member, or it takes too long to wait for. Rejects when it can't be one. */
  async start(): Promise<void> {
    this.#membership.start();
    this.#lookLater();
    const { clock, options } = this.#shared.session;
    const timer = clock.after(options.requestTimeoutMs, () => this.#joined.resolve());
    try {
      await this.#joined.promise;
    } finally {
      timer[Symbol.dispose]();
    }
    if (this.#refusal !== undefined) throw this.#refusal.error;
  }

  // ── What a lane goes by ──

  get revision(): number {
    return this.#entry.revision;
  }

  since({ place, lane, partition }: GroupLane): number {
    return place.lane === "queue" ? this.#entry.first : sinceOf(this.#entry, lane, partition);
  }

  filter({ lane }: GroupLane): TopicFilter {
    let filter = this.#filters.get(lane);
    if (filter === undefined) {
      const isQueue = this.#work.kindOf(lane) === "queue";
      const patterns = isQueue ? [">"] : (this.#entry.spec.reads.find(({ stream }) => stream === lane)?.patterns ?? []);
      this.#filters.set(lane, (filter = new TopicFilter(patterns)));
    }
    return filter;
  }

  now(): number {
    return this.#shared.session.clock.now();
  }

  ticks(): number {
    return this.#shared.session.clock.ticks();
  }

  floor(lane: GroupLane): void {
    if (this.#state !== "closed" && lane.place.lane === "stream") this.#sink.floor(lane.ref, String(lane.floor - 1));
  }

  covered(): void {
    this.#pump();
  }

  refused(lane: GroupLane, errorCode: number): boolean {
    return this.#ownership.refused(lane, errorCode);
  }

  // ── Consumption ──

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#credit.window = window;
    else this.#ownership.window(partition, window);
    this.#pump();
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    for (const message of messages as readonly KafkaMessage[]) this.#done(message);
  }

  async settle(batch: readonly Settlement[]): Promise<readonly Result[]> {
    return await Promise.all(
      batch.map(async (settlement) => {
        const message = settlement.message as KafkaMessage;
        if (message.over) return "stale";
        if (settlement.how !== "dead" && this.#entry.spec.order === "group")
          throw new DriverError(
            "BUS_UNSUPPORTED",
            "kafka: a message of an ordered group keeps its place: it can't be retried or released by itself",
          );
        const result = await this.#settler.settle(settlement, message.owner as GroupLane);
        if (message.over) return "stale";
        if (result === "done") this.#done(message);
        return result;
      }),
    );
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    return await Promise.all(
      notes.map(async (note) => {
        const message = note.message as KafkaMessage;
        if (message.over) return "stale";
        const lane = message.owner as GroupLane;
        if (!(await this.#settler.record(note, message, lane)) || message.over) return "stale";
        message.attempts = note.attempts;
        message.notBefore = note.notBefore;
        message.addNotes(note.headers);
        if (lane.state === "draining") this.#ownership.giveUp(lane);
        return "done";
      }),
    );
  }

  async flush(): Promise<void> {
    await Promise.all([...this.#ownership.lanes].flatMap((lane) => (lane.isKnown ? [] : [this.#committer.now(lane)])));
  }

  /** What is in hand stays ours; each partition goes to another as soon as nothing of it is left. */
  stop(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "stopped";
      this.#ownership.drainAll();
      this.#membership.round();
    }
    return Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    const wasAborted = signal.aborted;
    for (const lane of this.#ownership.lanes) lane.drain();
    this.#state = "stopped";
    const { clock } = this.#shared.session;
    const { promise, resolve } = Promise.withResolvers<void>();
    // also when there is no time it is worth a moment: the others need not wait for the session to end
    const timer = clock.after(wasAborted ? graceMs : this.#shared.session.options.requestTimeoutMs, resolve);
    const late = (): void => void clock.after(graceMs, resolve);
    signal.addEventListener("abort", late, { once: true });
    // what fails: the others miss us after a session
    await Promise.race([this.#leave(() => signal.aborted).catch(() => undefined), promise]);
    timer[Symbol.dispose]();
    signal.removeEventListener("abort", late);
    this.#end();
  }

  async #leave(isCutOff: () => boolean): Promise<void> {
    try {
      const last = [...this.#ownership.lanes].map((lane) => {
        lane.finish(isCutOff() ? "cut off" : "kept");
        return this.#committer.now(lane);
      });
      await Promise.all(last);
    } finally {
      await this.#membership.leave();
    }
  }

  // ── The definition ──

  #changed(what: string, name: string): void {
    if (this.#state === "closed") return;
    if (what === "streams") return this.#ownership.look();
    if (what !== "group" || (name !== this.#work.group && name !== "")) return;
    const entry = this.#work.entry();
    if (entry === undefined || entry.since !== this.#entry.since)
      return this.#ended(new DriverError("BUS_NOT_FOUND", `kafka: the group "${this.#work.group}" was deleted`));
    if (entry.revision === this.#entry.revision) return;
    this.#entry = entry;
    this.#filters.clear();
    this.#sink.spec(entry.spec);
    this.#ownership.redefined();
    this.#pump();
  }

  /** What is in hand of it is another's. */
  #dropped({ ref, hand }: GroupLane): void {
    for (const message of hand.values()) {
      message.over = true;
      this.#credit.give(message.size);
    }
    if (this.#state === "open" || (this.#state === "stopped" && hand.size > 0)) this.#sink.revoked({ partition: ref });
    this.#pump();
  }

  // ── Handing out ──

  #done(message: KafkaMessage): void {
    if (message.over) return;
    const lane = message.owner as GroupLane;
    lane.settle(message);
    lane.credit.give(message.size);
    this.#credit.give(message.size);
    this.#committer.soon(lane);
    if (lane.state === "draining") this.#ownership.giveUp(lane);
    else this.#pump();
  }

  #pump(): void {
    if (this.#pumping || this.#state !== "open") return;
    this.#pumping = true;
    // after all that came with it: one call for many
    queueMicrotask(() => {
      this.#pumping = false;
      if (this.#state === "open") this.#handOut();
    });
  }

  #handOut(): void {
    const batch: KafkaMessage[] = [];
    const ready = new Set<GroupLane>();
    for (const lane of this.#ownership.lanes) ready.add(lane);
    const may = this.#membership.mayBegin;
    for (let lane = this.#next(ready, may); lane !== undefined; lane = this.#next(ready, may)) {
      const message = lane.peek()!;
      lane.handOut();
      lane.credit.take(message.size);
      this.#credit.take(message.size);
      batch.push(message);
      if (lane.wantsMark) this.#committer.soon(lane, 0);
    }
    let due = Number.POSITIVE_INFINITY;
    for (const lane of this.#ownership.lanes) {
      due = Math.min(due, lane.nextDue ?? due);
      if (lane.changed) this.#committer.soon(lane, lane.hand.size > 0 ? tellMs : undefined);
    }
    this.#timer?.[Symbol.dispose]();
    const { clock } = this.#shared.session;
    if (Number.isFinite(due)) this.#timer = clock.after(Math.max(0, due - clock.now()), () => this.#pump());
    if (batch.length > 0) this.#sink.deliver(batch);
  }

  /** The lane with the oldest message of those that can be handed out now. */
  #next(ready: Set<GroupLane>, may: boolean): GroupLane | undefined {
    if (!this.#credit.hasRoom) return undefined;
    let best: GroupLane | undefined;
    let oldest = Number.POSITIVE_INFINITY;
    for (const lane of ready) {
      const head = lane.peek();
      if (head === undefined || !lane.credit.hasRoom) {
        ready.delete(lane);
        continue;
      }
      if (!may || !lane.covers(head)) {
        ready.delete(lane);
        // the coordinator's word that it is still ours comes with it
        this.#committer.soon(lane, 0);
        continue;
      }
      if (head.record.time >= oldest) continue;
      best = lane;
      oldest = head.record.time;
    }
    return best;
  }

  #lookLater(): void {
    this.#look = this.#shared.session.clock.after(lookMs, () => {
      if (this.#state === "closed") return;
      for (const lane of this.#ownership.lanes) {
        if (lane.state === "draining") this.#ownership.giveUp(lane);
        else if (lane.reading?.isStale === true) lane.reading.look();
        else if (lane.waitsForRoom) lane.reading?.look();
      }
      this.#looks += 1;
      if (this.#looks % cutEvery === 0) this.#ownership.cut();
      this.#pump();
      this.#lookLater();
    });
  }

  // ── The end ──

  #ended(error: unknown): void {
    if (this.#state === "closed") return;
    this.#ownership.lost();
    this.#end();
    this.#sink.ended(error, false);
  }

  #end(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#joined.resolve();
    this.#timer?.[Symbol.dispose]();
    this.#look?.[Symbol.dispose]();
    this.#listening[Symbol.dispose]();
    this.#ownership.close();
    this.#committer.close();
    this.#loop.close();
    void this.#membership
      .leave()
      .catch(() => undefined) // its session ends all the same
      .finally(() => this.#coordinator.close());
    this.#left();
  }
}
