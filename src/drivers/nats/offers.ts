import type { Lane } from "./group-lane.ts";
import type { NatsMessage } from "./message.ts";
import type { Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";

/** Who gave it up, and until when nobody of them is to have it. */
export interface GivenUp {
  readonly by: readonly string[];
  /** Ms since the epoch. */
  readonly until: number;
}

interface Offer extends GivenUp {
  readonly message: NatsMessage;
  /** Ticks when it came; a renewal of all is later. */
  readonly at: number;
}

const [shortMs, longMs] = [10, 320];
const [fewest, most] = [4, 128];
const mostHeld = 1_000;
const mostBytes = 16 * 1024 * 1024;
/** No handler here saw it: what may have killed a process stays a suspect. */
const unseen = { unseen: true } as const;
/** As long as the core ever waits: whoever could have had it by then does not take it. */
const patienceMs = 30_000;

/**
 * What this member gave up and got again although another could have it. The server knows nothing of that and would send it here
 * and there for as long as the others have no room. So it is kept here, and offered as fast as they take it: what comes back
 * tells how fast that is.
 */
export class Offers {
  readonly #shared: Shared;
  readonly #settler: Settler;
  /** How many of those that are there have not given it up. */
  readonly #others: (by: readonly string[]) => number;
  readonly #held = new Map<string, Offer>();
  #bytes = 0;
  #renewedAt = 0;
  #credit = fewest;
  #pauseMs = shortMs;
  #offered = 0;
  #back = 0;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(shared: Shared, settler: Settler, others: (by: readonly string[]) => number) {
    this.#shared = shared;
    this.#settler = settler;
    this.#others = others;
  }

  get messages(): readonly NatsMessage[] {
    return [...this.#held.values()].map(({ message }) => message);
  }

  /** Ours at the server until they are offered. */
  renew(): void {
    this.#renewedAt = this.#shared.session.clock.ticks();
    this.#settler.renew(this.messages);
  }

  /** The server may have given them to others: what is given back late would come to two of them. */
  forget(): void {
    for (const key of this.#held.keys()) this.#remove(key);
  }

  /** Whether another is to have it, and not we. */
  waits(member: string, { by, until }: GivenUp): boolean {
    if (!by.includes(member)) return false;
    return this.#left(until) > (this.#others(by) > 0 ? -patienceMs : 0);
  }

  async keep(message: NatsMessage, { by, until }: GivenUp): Promise<void> {
    if (this.#others(by) === 0)
      return await this.#settler.giveBack(message, Math.max(this.#left(until), 0), { ...unseen, by, until });
    if (this.#closed || this.#held.size >= mostHeld || this.#bytes + message.size > mostBytes)
      return await this.#settler.giveBack(message, longMs, { ...unseen, by, until });
    if (message.delivery.delivered > 2) this.#back += 1;
    this.#add({ message, by, until, at: this.#shared.session.clock.ticks() });
    this.#timer ??= this.#shared.session.clock.after(this.#pauseMs, this.#offer);
  }

  /** Others have them now. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    const held = [...this.#held.values()];
    this.forget();
    await Promise.allSettled(
      held.map(({ message, by, until }) => this.#settler.giveBack(message, 0, { ...unseen, by, until })),
    );
  }

  /** To the server's ack wait. */
  drop(): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.forget();
  }

  #add(offer: Offer): void {
    const key = `${offer.message.delivery.consumer}:${offer.message.sequence}`;
    this.#remove(key); // an older delivery of it
    this.#held.set(key, offer);
    this.#bytes += offer.message.size;
  }

  #remove(key: string): void {
    const offer = this.#held.get(key);
    if (offer === undefined) return;
    this.#held.delete(key);
    this.#bytes -= offer.message.size;
  }

  #isStale({ message, at }: Offer): boolean {
    const { ackWaitMs } = message.owner as Lane;
    return this.#shared.session.clock.ticks() - Math.max(at, this.#renewedAt) >= ackWaitMs;
  }

  #left(until: number): number {
    return until - this.#shared.session.clock.now();
  }

  readonly #offer = (): void => {
    this.#adapt();
    for (const [key, offer] of this.#held) if (this.#isStale(offer)) this.#remove(key); // we stood still
    const offers = [...this.#held].slice(0, this.#credit);
    for (const [key] of offers) this.#remove(key);
    this.#offered = offers.length;
    void Promise.all(offers.map(([, offer]) => this.#one(offer))).then(() => {
      this.#timer = undefined;
      if (this.#closed || this.#held.size === 0) return;
      this.#timer = this.#shared.session.clock.after(this.#pauseMs, this.#offer);
    });
  };

  #adapt(): void {
    const taken = Math.max(this.#offered - this.#back, 0);
    if (this.#offered > 0) {
      // about every second one comes to us, who ask for more as well
      const next = taken * 5 >= this.#offered * 2 ? this.#credit * 2 : Math.max(taken * 2, this.#credit >> 1);
      this.#credit = Math.min(Math.max(next, fewest), most);
      this.#pauseMs = taken > 0 ? shortMs : Math.min(this.#pauseMs * 2, longMs);
    }
    this.#back = 0;
  }

  async #one(offer: Offer): Promise<void> {
    const { message, by, until } = offer;
    const left = this.#left(until);
    try {
      if (this.#others(by) === 0) await this.#settler.giveBack(message, Math.max(left, 0), { ...unseen, by, until });
      else
        await this.#settler.giveBack(message, 0, { ...unseen, ...(left <= -patienceMs ? { by: [] } : { by, until }) });
    } catch {
      if (!this.#closed && this.#shared.session.connected) this.#add(offer); // else it is forgotten anyway
    }
  }
}
