import type { Clock } from "../../clock.ts";
import type { ClientModule, CommitPlace } from "./client.ts";
import { partly } from "./cluster.ts";
import type { Coordinator } from "./coordinator.ts";
import { apiIdOf, NoAnswer } from "./errors.ts";
import type { Membership } from "./membership.ts";

const pauseMs = 20;
/** Of one partition that is refused; the others go on. */
const againMs = 250;
/** Acknowledgements are gathered for so long; what somebody waits for is not. */
const gatherMs = 5;
const rebalancing = 27;

/** What is committed of a partition. */
export interface Commit {
  readonly offset: number;
  readonly text: string;
  /** The broker has it. */
  confirmed(): void;
}

export interface Committed {
  readonly topic: string;
  readonly partition: number;
  /** Undefined: it is nobody's business any more. */
  commit(): Commit | undefined;
  /** Kafka's number, of this partition alone. True: it is given up; otherwise it is tried again. */
  refused?(errorCode: number): boolean;
}

interface Waiter {
  readonly of: Committed;
  /** The first commit that begins after it was asked. */
  readonly since: number;
  resolve(done: boolean): void;
}

export interface CommitterOptions {
  readonly module: ClientModule;
  readonly clock: Clock;
  readonly group: string;
  readonly coordinator: Coordinator;
  readonly membership: Membership;
  readonly requestTimeoutMs: number;
  /** In a request of this length. */
  readonly took?: (ms: number) => void;
}

/** One commit of a group at a time, with every partition that changed; fenced by member and generation. */
export class Committer {
  readonly #options: CommitterOptions;
  readonly #dirty = new Set<Committed>();
  /** Refused by themselves, and to be tried again in a while. */
  readonly #late = new Set<Committed>();
  readonly #waiting = new Set<Waiter>();
  #round = 0;
  /** With each loss what is under way is in vain. */
  #life = 0;
  #running = false;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Some time soon. */
  soon(of: Committed, ms: number = gatherMs): void {
    this.#dirty.add(of);
    if (this.#running || this.#closed) return;
    this.#timer ??= this.#options.clock.after(ms, () => this.#start());
  }

  /** Resolves when what holds now is at the broker; false: it is not ours to say any more. */
  now(of: Committed): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    this.#dirty.add(of);
    return new Promise((resolve) => {
      this.#waiting.add({ of, since: this.#round + 1, resolve });
      this.#start();
    });
  }

  /** The membership was lost, and with it what was to be said under it: whoever waits is told. */
  lost(): void {
    this.#life += 1;
    this.#dirty.clear();
    this.#late.clear();
    for (const waiter of this.#waiting) this.#tell(waiter, false);
  }

  /** It was lost: whoever waits is told. */
  forget(of: Committed): void {
    this.#dirty.delete(of);
    this.#late.delete(of);
    for (const waiter of this.#waiting) if (waiter.of === of) this.#tell(waiter, false);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#dirty.clear();
    this.#late.clear();
    for (const waiter of this.#waiting) this.#tell(waiter, false);
  }

  #tell(waiter: Waiter, done: boolean): void {
    this.#waiting.delete(waiter);
    waiter.resolve(done);
  }

  #start(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#running || this.#closed) return;
    this.#running = true;
    // what is asked for in this turn goes with it
    queueMicrotask(() => {
      void this.#run().finally(() => {
        this.#running = false;
        if (this.#dirty.size > 0 && !this.#closed) this.soon([...this.#dirty][0]!);
      });
    });
  }

  async #run(): Promise<void> {
    while (this.#dirty.size > 0 && !this.#closed) {
      this.#round += 1;
      const [round, life] = [this.#round, this.#life];
      const batch = this.#batch();
      if (batch.size === 0) return;
      const codes = await this.#send(batch);
      if (life !== this.#life) continue;
      let isWhole = true;
      for (const [of, commit] of batch) {
        const code = codes?.get(keyOf(of)) ?? unanswered;
        if (code === 0) this.#confirmed(of, commit, round);
        else if (isOfPartition(code)) this.#ofItself(of, code);
        else {
          isWhole = false;
          this.#dirty.add(of);
        }
      }
      if (!isWhole) await new Promise<void>((resolve) => void this.#options.clock.after(pauseMs, resolve));
      else if (this.#waiting.size === 0) return;
    }
  }

  #batch(): ReadonlyMap<Committed, Commit> {
    const batch = new Map<Committed, Commit>();
    for (const of of this.#dirty) {
      try {
        const commit = of.commit();
        if (commit === undefined) this.forget(of);
        else batch.set(of, commit);
      } catch {
        of.refused?.(tooLarge);
        this.forget(of);
      }
    }
    this.#dirty.clear();
    return batch;
  }

  #ofItself(of: Committed, code: number): void {
    if (of.refused?.(code) === true) return this.forget(of);
    this.#late.add(of);
    this.#options.clock.after(againMs, () => this.#late.delete(of) && this.soon(of, 0));
  }

  #confirmed(of: Committed, commit: Commit, round: number): void {
    commit.confirmed();
    for (const waiter of this.#waiting) if (waiter.of === of && waiter.since <= round) this.#tell(waiter, true);
  }

  /** What is said of each; undefined: nothing was. */
  async #send(batch: ReadonlyMap<Committed, Commit>): Promise<ReadonlyMap<string, number> | undefined> {
    const { module, clock, group, coordinator, membership, requestTimeoutMs, took } = this.#options;
    const { memberId, generation } = membership;
    if (memberId === "") return undefined;
    const topics = new Map<string, CommitPlace[]>();
    for (const [{ topic, partition }, { offset, text }] of batch) {
      const place: CommitPlace = {
        partitionIndex: partition,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: -1,
        committedMetadata: text,
      };
      const places = topics.get(topic);
      if (places === undefined) topics.set(topic, [place]);
      else places.push(place);
    }
    const asked = [...topics].map(([name, partitions]) => ({ name, partitions }));
    const sentAt = clock.ticks();
    try {
      const link = await coordinator.link("command");
      const answer = await partly(
        link.ask(module.offsetCommitV9, [group, generation, memberId, null, asked], requestTimeoutMs),
      );
      took?.(clock.ticks() - sentAt);
      const codes = new Map<string, number>();
      for (const { name, partitions } of answer.topics)
        for (const { partitionIndex, errorCode } of partitions) codes.set(`${name}:${partitionIndex}`, errorCode);
      const ofAll = [...codes.values()].find((code) => code !== 0 && !isOfPartition(code));
      if (ofAll === undefined) membership.heard(sentAt, undefined);
      else this.#refused(ofAll, sentAt, memberId, generation);
      return codes;
    } catch (error) {
      if (error instanceof NoAnswer || apiIdOf(error) !== undefined) coordinator.moved();
    }
    return undefined;
  }

  #refused(code: number, sentAt: number, memberId: string, generation: number): void {
    const { coordinator, membership } = this.#options;
    if (code === rebalancing) membership.heard(sentAt, membership.isJoining ? undefined : "REBALANCE_IN_PROGRESS");
    else if (code === unknownMember || code === illegalGeneration) {
      // a round that has ended at the broker may not have ended here
      const isCurrent = membership.memberId === memberId && membership.generation === generation;
      if (isCurrent && !(code === illegalGeneration && membership.isJoining))
        membership.heard(sentAt, code === unknownMember ? "UNKNOWN_MEMBER_ID" : "ILLEGAL_GENERATION");
    } else if (code === notCoordinator || code === noCoordinator) coordinator.moved();
  }
}

const unknownMember = 25;
const illegalGeneration = 22;
const notCoordinator = 16;
const noCoordinator = 15;
const unanswered = -1;
const tooLarge = 12;
/** UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED: the others are as good as without it. */
const partitionCodes: ReadonlySet<number> = new Set([3, tooLarge, 29]);
const isOfPartition = (code: number): boolean => partitionCodes.has(code);
const keyOf = ({ topic, partition }: Committed): string => `${topic}:${partition}`;
