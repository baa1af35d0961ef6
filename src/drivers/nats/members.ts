import { DriverError } from "../../internal/driver-error.ts";
import type { BucketWatch } from "./bucket.ts";
import { filesRemoved } from "./files-removed.ts";
import { type GroupDefinition, parseDefinition } from "./group-plan.ts";
import { keys } from "./names.ts";
import { type Floors, groupOfSeat, Roster, type MemberEntry, processOf, type Seat, seatId } from "./roster.ts";
import type { Shared } from "./shared.ts";
import { Turnstile } from "./turnstile.ts";

export interface MembersListener {
  /** A member came, went, died, or says something else of a group. */
  changed?(): void;
  /** The definition as it is now; undefined: there is none. */
  defined?(group: string, definition: GroupDefinition | undefined, revision: number): void;
  /** Our own entry could not be renewed for a lease: others may have taken what we own. */
  expired?(): void;
  /** It is renewed again after that. */
  renewed?(): void;
  /** The bucket was deleted, and is there again without anything that stood in it. */
  emptied?(): void;
}

/** A seat in a group, ours until we leave. */
export interface Chair {
  readonly id: string;
  update(change: Partial<Seat>): Promise<void>;
  /** What each renewal says of how far we are. */
  floors(say: () => Floors): void;
  leave(): Promise<void>;
}

const againMs = 250;
const deleted = (): DriverError =>
  new DriverError("BUS_CONNECTION", "nats: the bucket was deleted meanwhile", { retryable: true });

/** This process among the others: its own entry, renewed every third of a lease, and what the others' and the groups' say. */
export class Members {
  /** Of all groups of this process. */
  readonly takeovers: Turnstile = new Turnstile(32);
  readonly #shared: Shared;
  readonly #roster: Roster;
  readonly #listeners = new Set<MembersListener>();
  readonly #seats = new Map<string, Seat>();
  readonly #floors = new Map<string, () => Floors>();
  readonly #waiting = new Set<() => void>();
  #watch: BucketWatch | undefined;
  #session: Disposable | undefined;
  #seen = 0;
  /** Incarnations of the groups that there are. */
  readonly #firsts = new Map<string, number>();
  /** One more with each bucket that was made again. */
  #generation = 0;
  #opening = false;
  #emptied = false;
  #renewedAt: number;
  #expired = false;
  #dirty = false;
  #writing: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #closed = false;

  constructor(shared: Shared) {
    this.#shared = shared;
    const { clock, options } = shared.session;
    this.#roster = new Roster(clock, options.leaseMs);
    this.#renewedAt = clock.ticks();
  }

  get id(): string {
    return this.#shared.session.member.id;
  }

  /** Our entry is there, and we know the others'. `heal` makes the bucket again when somebody deleted it. */
  async start(heal: () => Promise<void>): Promise<void> {
    const { session } = this.#shared;
    this.#session = session.watch({
      up: () => {
        this.#roster.again();
        void this.#write().catch(() => undefined); // the next renewal writes it
      },
    });
    await this.#open(heal);
    this.#tick();
  }

  async #open(heal: () => Promise<void>): Promise<void> {
    this.#emptied = false;
    this.#watch = this.#shared.bucket.watch([keys.members, keys.definitions], {
      entry: ({ key, revision, value, timeMs }) => this.#heard(key, revision, value, timeMs),
      ended: () => {
        this.#emptied = true;
        if (!this.#opening && !this.#closed) void this.#again(heal);
      },
    });
    await Promise.all([this.#watch.ready, this.#write()]);
    await this.#watch.current;
    if (this.#emptied) throw deleted();
  }

  /** The bucket was deleted, and with it whatever groups there were: they begin as if they were new, where their members were. */
  async #again(heal: () => Promise<void>): Promise<void> {
    const { session } = this.#shared;
    this.#opening = true;
    this.#tellGone(() => true);
    for (let opened = false; !this.#closed && (!opened || this.#emptied);) {
      this.#generation += 1;
      this.#seen = 0;
      this.#roster.clear();
      this.#firsts.clear();
      this.#wake();
      try {
        const sent = session.published;
        await filesRemoved(session.clock);
        if (this.#closed) return;
        await session.unanswered(sent, session.names.key("")); // nothing answers what went to the bucket that is gone
        await heal();
        await this.#open(heal);
        this.#generation += 1; // who began to wait meanwhile waits for a number of a bucket that may be gone
        opened = true;
      } catch {
        this.#watch?.close();
        await this.next(againMs); // no connection, no leader, or nobody makes it
      }
    }
    this.#opening = false;
    if (this.#closed) return this.#watch?.close();
    // who sat down meanwhile may have done so in a bucket that is gone as well
    this.#tellGone((group, { first }) => this.#firsts.get(group) !== first);
    for (const listener of [...this.#listeners]) listener.emptied?.();
    this.#changed();
  }

  #tellGone(isGone: (group: string, seat: Seat) => boolean): void {
    for (const [key, seat] of [...this.#seats]) {
      const group = groupOfSeat(key);
      if (!isGone(group, seat)) continue;
      for (const listener of [...this.#listeners]) listener.defined?.(group, undefined, Infinity);
    }
  }

  listen(listener: MembersListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Those that live. */
  entries(): readonly { readonly entry: MemberEntry; readonly lastSeen: number }[] {
    return this.#roster.living();
  }

  seats(group: string, first: number): readonly { readonly member: string; readonly seat: Seat }[] {
    return this.#roster.seats(group, first);
  }

  /** Ids of those that take part, sorted. */
  open(group: string, first: number): readonly string[] {
    return this.seats(group, first)
      .filter(({ seat }) => seat.state === "open")
      .map(({ member }) => member)
      .toSorted();
  }

  /** Of a process, or of a seat in one. */
  alive(member: string): boolean {
    const process = processOf(member);
    return this.entries().some(({ entry }) => entry.id === process);
  }

  /** False: our entry was not renewed for a lease, by our own clock; others may think us dead. */
  get trusted(): boolean {
    const { clock, options } = this.#shared.session;
    return clock.ticks() - this.#renewedAt < options.leaseMs;
  }

  /** A seat in a group; resolves when our entry says so. */
  async sit(group: string, seat: Seat): Promise<Chair> {
    let key = group;
    for (let number = 2; this.#seats.has(key); number += 1) key = `${group}#${number}`;
    this.#seats.set(key, seat);
    const chair: Chair = {
      id: seatId(this.id, key),
      update: async (change) => {
        const before = this.#seats.get(key);
        if (before === undefined) return;
        this.#seats.set(key, { ...before, ...change });
        await this.#write();
      },
      floors: (say) => void this.#floors.set(key, say),
      leave: async () => {
        this.#floors.delete(key);
        if (this.#seats.delete(key)) await this.#write();
      },
    };
    try {
      await this.#write();
    } catch (error) {
      this.#seats.delete(key);
      throw error;
    }
    return chair;
  }

  /** Everything up to this revision of the bucket was heard of. */
  async caughtUp(revision: number, signal?: AbortSignal): Promise<void> {
    const generation = this.#generation;
    while (this.#seen < revision && !this.#closed && signal?.aborted !== true) {
      if (generation !== this.#generation) throw deleted();
      await this.next(againMs);
    }
  }

  /** The next change, or the time. */
  next(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer[Symbol.dispose]();
        this.#waiting.delete(done);
        resolve();
      };
      const timer = this.#shared.session.clock.after(ms, done);
      this.#waiting.add(done);
    });
  }

  /** The entry goes, so that nobody waits for us. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#session?.[Symbol.dispose]();
    this.#watch?.close();
    this.#wake();
    await this.#writing?.catch(() => undefined); // it is deleted next
    if (!signal.aborted && this.#shared.session.connected)
      await this.#shared.bucket.delete(keys.member(this.id)).catch(() => false); // it runs out by itself
  }

  #heard(key: string, revision: number, value: Uint8Array | undefined, timeMs: number): void {
    if (key.startsWith("m.")) {
      if (this.#roster.heard(key, revision, value, timeMs)) this.#changed();
    } else if (key.startsWith("g.")) {
      const definition = value === undefined ? undefined : parseDefinition(value);
      if (definition === undefined) this.#firsts.delete(key.slice(2));
      else this.#firsts.set(key.slice(2), definition.first);
      for (const listener of [...this.#listeners]) listener.defined?.(key.slice(2), definition, revision);
    }
    this.#seen = Math.max(this.#seen, revision);
    this.#wake();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener.changed?.();
    this.#wake();
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  /** One write at a time; what is asked for meanwhile goes with the next. */
  #write(): Promise<void> {
    this.#dirty = true;
    if (this.#closed) return Promise.resolve();
    this.#writing ??= this.#writeAll();
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    const { bucket, session } = this.#shared;
    const { id, name, host, pid, since } = session.member;
    try {
      while (this.#dirty && !this.#closed) {
        this.#dirty = false;
        const groups = Object.fromEntries(this.#seats);
        const floors = Object.fromEntries([...this.#floors].map(([key, say]) => [key, say()]));
        const { leaseMs } = session.options;
        const entry: MemberEntry = { id, name, host, pid, since: since.getTime(), leaseMs, groups, floors };
        const sent = session.clock.ticks();
        // of one that was killed the entry goes as well
        await bucket.putJson(keys.member(id), entry, { ttlMs: Math.max(10 * leaseMs, 60_000) });
        this.#renewedAt = sent;
        if (!this.#expired) continue;
        this.#expired = false;
        for (const listener of [...this.#listeners]) listener.renewed?.();
      }
    } finally {
      this.#writing = undefined;
    }
  }

  /** Renews, and notices who died and whether we did. */
  readonly #tick = (): void => {
    if (this.#closed) return;
    const { clock, options } = this.#shared.session;
    this.#roster.look();
    const before = this.#living;
    this.#living = this.entries()
      .map(({ entry }) => entry.id)
      .join(" ");
    if (!this.trusted && !this.#expired) {
      this.#expired = true;
      for (const listener of [...this.#listeners]) listener.expired?.();
    }
    if (before !== this.#living) this.#changed();
    if (clock.ticks() - this.#renewedAt >= options.leaseMs / 3 - 1) void this.#write().catch(() => undefined); // the next tick tries again, until it expires
    const untilExpiry = this.#renewedAt + options.leaseMs - clock.ticks();
    const wait = Math.min(
      options.leaseMs / 6,
      (this.#roster.nextDeathMs ?? Infinity) + 1,
      untilExpiry > 0 ? untilExpiry : Infinity,
    );
    this.#timer = clock.after(Math.max(wait, 1), this.#tick);
  };
  #living = "";
}
