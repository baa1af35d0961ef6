import { Lane, type Reader } from "./lane.ts";
import { MemoryMessage } from "./memory-message.ts";
import type { PartitionLog } from "./partition-log.ts";
import { Ring } from "./ring.ts";
import type { TopicFilter } from "./topic-filter.ts";

/**
 * A group's place in one partition: what is handed out and unsettled, what came back and goes out again before anything
 * new, and the floor below which all is settled.
 */
export class GroupLane extends Lane {
  /** A delayed message holds back those after it. */
  readonly ordered: boolean;
  /** Handed out and unsettled. */
  inFlight = 0;
  /** The floor moved, and nobody was told yet. Owned by the group. */
  floorMoved = false;
  readonly #forget: (() => void) | undefined;
  /** From just above the floor to `next`: the latest handing out of each message, undefined once it is settled. */
  readonly #unsettled = new Ring<MemoryMessage>();
  readonly #back: MemoryMessage[] = [];
  #held = 0;

  constructor(
    log: PartitionLog,
    filter: TopicFilter,
    reader: Reader,
    next: number,
    ordered: boolean,
    forget?: () => void,
  ) {
    super(log, filter, reader, next);
    this.ordered = ordered;
    this.#forget = forget;
  }

  /** All up to and including this position is settled. */
  get floor(): number {
    return this.next - 1 - this.#unsettled.length;
  }

  override get handled(): number {
    return this.floor;
  }

  override refresh(): boolean {
    if (this.#held > 0 && this.ordered) {
      this.head = Infinity;
      return false;
    }
    const back = this.#back[0];
    if (back === undefined) return super.refresh();
    this.head = back.entry.sequence;
    return true;
  }

  override skip(): void {
    if (this.#unsettled.length > 0) this.#unsettled.push(undefined);
    super.skip();
  }

  /** Hands out what is next; only after a `refresh` that said there is something. */
  take(holder: object, ticks: number): MemoryMessage {
    this.inFlight += 1;
    const back = this.#back.shift();
    if (back !== undefined) {
      const message = back.again(holder, ticks);
      this.#unsettled.set(this.#index(back), message);
      return message;
    }
    const message = new MemoryMessage(this.log.at(this.next)!, this, holder, 1, ticks);
    this.#unsettled.push(message);
    this.next += 1;
    this.#forget?.();
    return message;
  }

  /** True when the floor moved. */
  settle(message: MemoryMessage): boolean {
    message.holder = undefined;
    this.inFlight -= 1;
    const index = this.#index(message);
    this.#unsettled.set(index, undefined);
    if (index > 0) return false;
    while (this.#unsettled.length > 0 && this.#unsettled.at(0) === undefined) this.#unsettled.shift();
    return true;
  }

  /** It goes out again as soon as somebody takes it. */
  giveBack(message: MemoryMessage): void {
    if (message.holder !== undefined) this.inFlight -= 1;
    message.holder = undefined;
    this.#return(message);
  }

  /** It goes out again after `release`; until then, where order is kept, so does nothing else of this lane. */
  hold(message: MemoryMessage): void {
    message.holder = undefined;
    message.delayed = true;
    this.inFlight -= 1;
    this.#held += 1;
    this.merge?.stale(this);
  }

  /** The delay of a held message has passed: the next one gets it. */
  release(message: MemoryMessage): void {
    if (this.releaseTo(message)) this.#return(message);
  }

  /** The delay has passed, and the caller finds it a taker: see `retake`. False when it is gone. */
  releaseTo(message: MemoryMessage): boolean {
    if (!message.delayed || !this.has(message)) return false;
    message.delayed = false;
    this.#held -= 1;
    return true;
  }

  retake(message: MemoryMessage, holder: object, ticks: number): MemoryMessage {
    const again = message.again(holder, ticks);
    this.inFlight += 1;
    this.#unsettled.set(this.#index(message), again);
    return again;
  }

  /** It is unsettled, and was not handed out again. */
  has(message: MemoryMessage): boolean {
    return this.#unsettled.at(this.#index(message)) === message;
  }

  /** The latest handing out of each, oldest first. */
  *unsettled(): Generator<MemoryMessage> {
    for (let index = 0; index < this.#unsettled.length; index += 1) {
      const message = this.#unsettled.at(index);
      if (message !== undefined) yield message;
    }
  }

  /** Forgets what is unsettled and reads on from there. */
  seek(position: number): void {
    for (const message of this.unsettled()) message.holder = undefined;
    this.#unsettled.clear();
    this.#back.length = 0;
    this.#held = 0;
    this.inFlight = 0;
    this.next = position;
    if (this.place >= 0) this.merge?.stale(this);
    else this.notice();
  }

  #index(message: MemoryMessage): number {
    return message.entry.position - this.floor - 1;
  }

  #return(message: MemoryMessage): void {
    const back = this.#back;
    let index = back.length;
    if (this.ordered) while (index > 0 && back[index - 1]!.entry.position > message.entry.position) index -= 1;
    back.splice(index, 0, message);
    if (this.place >= 0) this.merge?.stale(this);
    else this.notice();
  }
}
