import type { RedisMessage } from "./message.ts";

/** A timer may fire that much before its time by the wall clock. */
const earlyMs = 50;

/** A partition of an ordered group that this member owns. Pure. */
export class Part {
  readonly ref: string;
  /** Where the backlog goes on that former owners left: everything up to it was handed to us; "": all of it was. */
  cursor = "0";
  /** Perhaps there is something. */
  ready = true;
  /** A fetch that is under way asks for it. */
  asked = false;
  /** Another member is to have it as soon as nothing of it runs. */
  draining = false;
  /** It is on its way to the server. */
  leaving = false;
  /** Most that may be delivered and unsettled; 0 pauses. */
  most: number = Number.POSITIVE_INFINITY;
  outstanding = 0;
  /** Recorded: not to be handled before. */
  readonly #waits = new Map<RedisMessage, number>();

  constructor(ref: string) {
    this.ref = ref;
  }

  get open(): boolean {
    return this.ready && !this.draining && !this.leaving && this.outstanding < this.most;
  }

  waits(message: RedisMessage, until: number | undefined): void {
    if (until === undefined) this.#waits.delete(message);
    else this.#waits.set(message, until);
  }

  settled(message: RedisMessage): void {
    this.outstanding -= 1;
    this.#waits.delete(message);
  }

  /** Nothing of it can be running: what is left waits for its next attempt, or behind such a one of its key. */
  drained(now: number, messages: Iterable<RedisMessage>): boolean {
    if (this.asked) return false;
    const waiting = new Set<string>();
    for (const message of messages) {
      const until = this.#waits.get(message) ?? message.notBefore;
      if (until !== undefined && until > now + earlyMs) {
        if (message.key !== undefined) waiting.add(message.key);
      } else if (message.key === undefined || !waiting.has(message.key)) return false;
    }
    return true;
  }
}
