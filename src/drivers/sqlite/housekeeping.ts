import type { DriverError } from "../../internal/driver-error.ts";
import type { DirectLane } from "./direct-lane.ts";
import type { SqliteState } from "./state-store.ts";
import type { Store } from "./store.ts";

const othersEveryMs = 1_000;
const retentionEveryMs = 5_000;

export interface HousekeepingEvents {
  /** The durable file was deleted, or is another one now. */
  replaced(error: DriverError): void;
  directReplaced(): void;
}

/** What has to be done now and then, by whichever process: renewals, burying the dead, retention. */
export class Housekeeping {
  readonly #current: () => Store;
  readonly #direct: DirectLane;
  readonly #state: SqliteState;
  readonly #renewEveryMs: number;
  readonly #events: HousekeepingEvents;
  #renewed: number;
  #looked: number;
  #retained: number;
  #begun = false;

  constructor(
    current: () => Store,
    direct: DirectLane,
    state: SqliteState,
    leaseMs: number,
    events: HousekeepingEvents,
  ) {
    this.#current = current;
    this.#direct = direct;
    this.#state = state;
    this.#renewEveryMs = leaseMs / 3;
    this.#events = events;
    this.#renewed = this.#looked = this.#retained = current().clock.ticks();
  }

  get #store(): Store {
    return this.#current();
  }

  /** Each poll. */
  poll(): void {
    const now = this.#store.clock.ticks();
    if (!this.#begun) {
      this.#begun = true;
      this.#bury(); // whoever starts after a crash takes over from the dead at once
    }
    if (now - this.#renewed >= (this.#store.troubled ? othersEveryMs : this.#renewEveryMs)) {
      this.#renewed = now;
      this.#renew();
    }
    if (now - this.#looked >= othersEveryMs) {
      this.#looked = now;
      const replaced = this.#store.replaced();
      if (replaced !== undefined) return this.#events.replaced(replaced);
      this.#bury();
      if (this.#direct.tidy()) this.#events.directReplaced();
    }
    if (now - this.#retained >= retentionEveryMs) {
      this.#retained = now;
      this.#retain();
    }
  }

  #renew(): void {
    this.#store.renew().catch(() => undefined); // a lost row is found at the next turn
    this.#direct.renew();
  }

  #bury(): void {
    const { members, turn } = this.#store;
    const dead = members.dead(this.#store.seating.process);
    if (dead.length === 0) return;
    void turn
      .do(() => {
        for (const process of dead) members.bury(process);
      }, "settle")
      .then(() => this.#store.look())
      .catch(() => undefined); // tried again in a second
  }

  #retain(): void {
    const { streams, retention, turn, clock } = this.#store;
    const now = clock.now();
    const work = streams
      .all()
      .filter(
        (stream) =>
          stream.first <= stream.last &&
          (stream.queue === 1 || (streams.log(stream.id).at(stream.first) ?? now) < now - stream.max_age),
      );
    const state = this.#state.anyToTidy(now);
    if (work.length === 0 && !state) return;
    void turn
      .do(() => {
        if (state) this.#state.tidy(now);
        return work.map(({ id }) => {
          const stream = streams.byId(id);
          if (stream === undefined) return false;
          return stream.queue === 1 ? retention.sweepQueue(stream, now) : retention.expire(stream, now);
        });
      })
      .then((more) => {
        if (more.includes(true)) this.#store.later(20, () => this.#retain());
      })
      .catch(() => undefined); // tried again in five seconds
  }
}
