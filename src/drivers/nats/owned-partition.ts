import type { InMessage } from "../../driver.ts";
import type { TopicTrie } from "../../internal/topic-trie.ts";
import { trieOf } from "./group-lane.ts";
import type { NatsMessage } from "./message.ts";
import { type Mine, type Owned, rangesOf, type Range, within } from "./owner.ts";
import type { PartitionStore } from "./partition-store.ts";
import type { Pull } from "./pull.ts";

/** A message of it: where it stands beside the core's view of it. */
interface Noted {
  /** A handler ran, or was about to: what became of it is noted. */
  readonly waitsUntil: number | undefined;
}

/**
 * One partition in an owner's hands, from a takeover to its end. What comes is in order; what came and is not in hand any more
 * is settled. Pure: memory only.
 */
export class OwnedPartition {
  readonly key: string;
  /** In the core's words: `events/3`. */
  readonly name: string;
  readonly store: PartitionStore;
  owned: Owned;
  pull: Pull | undefined = undefined;
  state: "reading" | "renewing" | "draining" | "over" = "reading";
  /** Delivered and unsettled, oldest first. */
  readonly hand: Map<number, NatsMessage> = new Map();
  /** What waits at the server behind `next`, as it last said; undefined: it was not asked yet. */
  pending: number | undefined = undefined;
  /** Its consumer was deleted, and nothing waited there. */
  idle = false;
  /** What was dropped up to here was said. */
  said = 0;
  /** Sequences that may have a note. */
  notes: ReadonlySet<number>;
  readonly #noted = new WeakMap<InMessage, Noted>();
  /** A server that takes no two filters at once delivers more. */
  #wanted: TopicTrie<true>;
  /** Up to here things were handed out before us. */
  readonly #handed: number;
  /** Everything up to it came, or was settled before us. */
  #next: number;
  #consumerNext = 1;
  /** What came above the floor, oldest first. */
  #came: number[] = [];

  constructor(key: string, name: string, store: PartitionStore, owned: Owned, notes: ReadonlySet<number>) {
    this.key = key;
    this.name = name;
    this.store = store;
    this.owned = owned;
    this.notes = notes;
    this.#wanted = wantedBy(owned);
    this.#handed = owned.owner.handed;
    this.#next = owned.floor;
  }

  /** Everything up to it is settled. */
  get floor(): number {
    for (const sequence of this.hand.keys()) return sequence - 1;
    return this.#next;
  }

  /** Of its consumer: what it sends next. */
  get consumerNext(): number {
    return this.#consumerNext;
  }

  get next(): number {
    return this.#next;
  }

  /** By the consumer of the next epoch. */
  renewed(owned: Owned): void {
    this.owned = owned;
    this.#wanted = wantedBy(owned);
    this.#consumerNext = 1;
    this.idle = false;
    this.state = "reading";
  }

  /**
   * `new`: it is in hand now. `again`: it was, and its newer subject settles it. `settled`: to be acknowledged once more. `gap`:
   * something before it was sent to nobody; what comes from this consumer is out of order.
   */
  take(message: NatsMessage): "new" | "again" | "settled" | "gap" {
    const { delivery, sequence } = message;
    if (delivery.consumerSequence !== this.#consumerNext) return "gap";
    this.#consumerNext += 1;
    this.pending = delivery.pending;
    if (sequence <= this.#next) {
      const before = this.hand.get(sequence);
      if (before === undefined) return "settled";
      before.reply = message.reply;
      return "again";
    }
    this.#next = sequence;
    this.#came.push(sequence);
    if (within(this.owned.owner.done, sequence) || this.#wanted.match(message.topic).length === 0) return "settled";
    message.owner = this;
    if (sequence <= this.#handed) message.handedBefore = 1;
    this.hand.set(sequence, message);
    return "new";
  }

  /** Nothing of it waits at the server: up to there it is others'. */
  passed(sequence: number): void {
    if (this.hand.size === 0 && sequence > this.#next) this.#next = sequence;
  }

  note(message: InMessage, waitsUntil: number | undefined): void {
    this.#noted.set(message, { waitsUntil });
  }

  settle(message: NatsMessage): void {
    message.over = true;
    this.hand.delete(message.sequence);
    if (this.#came.length > 64 && this.#came[this.#came.length >> 1]! <= this.floor) {
      const { floor } = this;
      this.#came = this.#came.filter((sequence) => sequence > floor);
    }
  }

  /** What the core did not get, which is behind what it got, never came: the next owner reads it. */
  takeBack(): readonly NatsMessage[] {
    const back = this.messages().filter(({ given }) => !given);
    if (back.length === 0) return back;
    for (const message of back) {
      message.over = true;
      this.hand.delete(message.sequence);
    }
    this.#next = back[0]!.sequence - 1;
    this.#came = this.#came.filter((sequence) => sequence <= this.#next);
    return back;
  }

  /** No handler of it can be running: what is left waits for its next attempt, or behind such a one of its key. */
  drained(now: number): boolean {
    const waiting = new Set<string>();
    for (const message of this.hand.values()) {
      const waitsUntil = this.#noted.get(message)?.waitsUntil ?? message.notBefore;
      if (waitsUntil !== undefined && waitsUntil > now) {
        if (message.key !== undefined) waiting.add(message.key);
      } else if (message.key === undefined || !waiting.has(message.key)) return false;
    }
    return true;
  }

  /** Settled above the floor, by us or before us. */
  get done(): readonly Range[] {
    const { floor } = this;
    const before = this.owned.owner.done.filter(([, to]) => to > this.#next);
    const ours = this.#came.filter((sequence) => sequence > floor && !this.hand.has(sequence));
    return [...rangesOf(ours), ...before.map(([from, to]) => [Math.max(from, this.#next + 1), to] as const)];
  }

  get mine(): Mine {
    return { owned: this.owned, floor: this.floor, done: this.done };
  }

  /**
   * Up to here something may be with a handler that never ends: all of it when we were cut off; when we hand over, what may have
   * killed a process before us and did not run here.
   */
  handed(cutOff: boolean): number {
    let handed = Math.max(this.floor, this.#next < this.#handed ? this.#handed : 0);
    for (const [sequence, message] of this.hand)
      if (cutOff || (sequence <= this.#handed && !this.#noted.has(message))) handed = Math.max(handed, sequence);
    return handed;
  }

  messages(): readonly NatsMessage[] {
    return [...this.hand.values()];
  }

  /** Behind this one of those in hand the sequences jump, or end: there something may be missing when retention has passed it. */
  get seenTo(): number {
    let last: number | undefined;
    for (const sequence of this.hand.keys()) {
      if (last !== undefined && sequence > last + 1) return last;
      last = sequence;
    }
    return this.next;
  }
}

/** Of the queue it is everything. */
const wantedBy = ({ owner }: Owned): TopicTrie<true> =>
  trieOf(owner.patterns === "" ? [">"] : owner.patterns.split(" "));
