import type { Clock } from "../../clock.ts";

/** What a process says of itself; its entry in the bucket is renewed for as long as it lives. */
export interface MemberEntry {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  /** Ms since the epoch. */
  readonly since: number;
  /** By its own configuration: how long it may be silent, and thinks itself that it owns what it owns. */
  readonly leaseMs?: number;
  /** By group; a second consumption of it in one process is `group#2`. */
  readonly groups: Readonly<Record<string, Seat>>;
  /** By group: how far it is in the partitions that it owns, as of this renewal. */
  readonly floors?: Readonly<Record<string, Floors>>;
}

export interface Floors {
  readonly first: number;
  readonly floors: Readonly<Record<string, number>>;
}

/** Its place in a group. */
export interface Seat {
  /** The group's incarnation: `GroupDefinition.first`. */
  readonly first: number;
  /** The newest revision of the definition that it heeds. */
  readonly knows: number;
  /** Stopped: it takes nothing more. */
  readonly state: "open" | "stopped";
}

interface Known {
  readonly entry: MemberEntry;
  readonly revision: number;
  readonly timeMs: number;
  /** Our own ticks when its entry last moved. */
  seen: number;
}

/** What the option takes. */
const longestLeaseMs = 3_600_000;
/** Leases: it is dead, and its entry may stay. */
const forgottenAfter = 10;

/**
 * Who lives, by one's own clock alone: a member is dead when its entry did not move for a lease, its own or ours if that is longer,
 * while we watched. Time in which nothing could be seen (disconnected, or this process stood still) does not count.
 */
export class Roster {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #known = new Map<string, Known>();
  #looked: number;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
    this.#looked = clock.ticks();
  }

  /** False: nothing new in it but that it lives. */
  heard(key: string, revision: number, value: Uint8Array | undefined, timeMs: number): boolean {
    this.look();
    const before = this.#known.get(key);
    if (value === undefined) return this.#known.delete(key);
    const entry = parsed(value);
    if (entry === undefined) return this.#known.delete(key);
    const seen = before?.revision === revision ? before.seen : this.#clock.ticks();
    this.#known.set(key, { entry, revision, timeMs, seen });
    return before === undefined || JSON.stringify(before.entry.groups) !== JSON.stringify(entry.groups);
  }

  /** The bucket is another one. */
  clear(): void {
    this.#known.clear();
  }

  /** To be called several times a lease: a gap is time in which this process stood still. */
  look(): void {
    const now = this.#clock.ticks();
    const gap = now - this.#looked;
    this.#looked = now;
    if (gap > this.#leaseMs / 3) for (const known of this.#known.values()) known.seen += gap;
    for (const [key, known] of this.#known)
      if (now - known.seen > forgottenAfter * this.#leaseOf(known)) this.#known.delete(key);
  }

  /** Connected again: whoever lives could not be heard either. */
  again(): void {
    const now = this.#clock.ticks();
    this.#looked = now;
    for (const known of this.#known.values()) known.seen = now;
  }

  /** When the next one may turn out to be dead: ms from now. */
  get nextDeathMs(): number | undefined {
    const now = this.#clock.ticks();
    let next: number | undefined;
    for (const known of this.#known.values()) {
      const left = known.seen + this.#leaseOf(known) - now;
      if (left > 0) next = Math.min(next ?? left, left);
    }
    return next;
  }

  living(): readonly { readonly entry: MemberEntry; readonly lastSeen: number }[] {
    const now = this.#clock.ticks();
    return [...this.#known.values()]
      .filter((known) => now - known.seen < this.#leaseOf(known))
      .map(({ entry, timeMs }) => ({ entry, lastSeen: timeMs }));
  }

  #leaseOf({ entry: { leaseMs } }: Known): number {
    return typeof leaseMs === "number" && leaseMs <= longestLeaseMs ? Math.max(leaseMs, this.#leaseMs) : this.#leaseMs;
  }

  /** Of one incarnation of a group, in any state. */
  seats(group: string, first: number): readonly { readonly member: string; readonly seat: Seat }[] {
    const found: { readonly member: string; readonly seat: Seat }[] = [];
    for (const { entry } of this.living())
      for (const [key, seat] of Object.entries(entry.groups))
        if (groupOfSeat(key) === group && seat.first === first) found.push({ member: seatId(entry.id, key), seat });
    return found;
  }
}

/** A process's id, with the number of its seat after the first: `id`, `id#2`. */
export const seatId = (process: string, key: string): string =>
  key.includes("#") ? `${process}${key.slice(key.indexOf("#"))}` : process;
export const groupOfSeat = (key: string): string => key.split("#", 1)[0]!;
export const processOf = (member: string): string => member.split("#", 1)[0]!;

function parsed(value: Uint8Array): MemberEntry | undefined {
  try {
    const entry = JSON.parse(new TextDecoder().decode(value)) as MemberEntry;
    return typeof entry?.id === "string" && typeof entry.groups === "object" ? entry : undefined;
  } catch {
    return undefined; // another program's
  }
}
