import type { Clock } from "../../clock.ts";
import type { Member } from "../../driver.ts";
import type { Database, Query } from "./database.ts";
import type { GroupStore } from "./group-store.ts";
import { addOwner, type HandedOut } from "./handed-out.ts";
import { isDead, ownIdentity, type ProcessIdentity } from "./process-identity.ts";

interface ProcessRow {
  readonly id: number;
  readonly member: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly started: string;
  readonly space: string;
  readonly since: number;
  readonly seen: number;
  readonly beat: number;
}

/**
 * The processes that share the file and their seats in groups. A lease is a beat that moves: others take a member for gone when
 * its process is dead, or when they saw the same beat for a whole lease by their own steady clock; no wall clock is compared.
 * Synchronous; within the caller's transaction.
 */
export class Members {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #groups: GroupStore;
  readonly #self: Member;
  readonly #identity: ProcessIdentity = ownIdentity();
  readonly #leaseMs: number;
  /** When each beat was first seen, by our own clock. */
  readonly #beats = new Map<number, { readonly beat: number; readonly since: number }>();
  readonly #there: Query;
  readonly #beat: Query;
  readonly #all: Query<ProcessRow>;

  constructor(database: Database, clock: Clock, groups: GroupStore, self: Member, leaseMs: number) {
    this.#database = database;
    this.#clock = clock;
    this.#groups = groups;
    this.#self = self;
    this.#leaseMs = leaseMs;
    this.#there = database.query("SELECT 1 FROM {process} WHERE id = ?");
    this.#beat = database.query("UPDATE {process} SET beat = beat + 1, seen = ? WHERE id = ?");
    this.#all = database.query("SELECT * FROM {process}");
  }

  /** This connection's row. */
  join(): number {
    const { id, name, host, since } = this.#self;
    const { pid, started, space } = this.#identity;
    return this.#database
      .query("INSERT INTO {process} (member, name, host, pid, started, space, since, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
      .insert(id, name, host, pid, started, space, since.getTime(), this.#clock.now());
  }

  /** False when somebody took us for dead. */
  there(process: number): boolean {
    return this.#there.get(process) !== undefined;
  }

  renew(process: number): boolean {
    return this.#beat.run(this.#clock.now(), process) === 1;
  }

  takeSeat(group: number, process: number, version: number): number {
    const id = this.#database.query("INSERT INTO {member} (grp, process, version) VALUES (?, ?, ?)").insert(group, process, version);
    this.#groups.touch(group, this.#clock.now());
    return id;
  }

  knows(member: number, version: number): void {
    this.#database.query("UPDATE {member} SET version = ? WHERE id = ?").run(version, member);
  }

  /** Whether every member of the group has seen this version of its definition. */
  allKnow(group: number, version: number): boolean {
    return this.#database.query("SELECT 1 FROM {member} WHERE grp = ? AND version < ? LIMIT 1").get(group, version) === undefined;
  }

  seats(group: number): number[] {
    return this.#database.query<{ readonly id: number }>("SELECT id FROM {member} WHERE grp = ? ORDER BY id").all(group).map(({ id }) => id);
  }

  /** Hands back what the member holds; `counted` when it may have been handed to a handler. */
  leave(member: number, counted: boolean): void {
    const minus = counted ? 0 : 1;
    this.#database.query("UPDATE {claim} SET member = NULL, deliveries = deliveries - ? WHERE member = ?").run(minus, member);
    this.#database.query("UPDATE {held} SET member = NULL, due = 0, deliveries = deliveries - ? WHERE member = ?").run(minus, member);
    this.#abandon(member, counted);
    const seat = this.#database.query<{ readonly grp: number }>("SELECT grp FROM {member} WHERE id = ?").get(member);
    this.#database.query("DELETE FROM {member} WHERE id = ?").run(member);
    if (seat === undefined) return;
    this.#groups.touch(seat.grp, this.#clock.now());
    const group = this.#groups.byId(seat.grp);
    if (group?.live === 1 && this.seats(seat.grp).length === 0) this.#groups.remove(group.name);
  }

  /** Everything that the process held is free for others. */
  bury(process: number): void {
    const seats = this.#database.query<{ readonly id: number }>("SELECT id FROM {member} WHERE process = ?").all(process);
    for (const { id } of seats) this.leave(id, true);
    this.#database.query("DELETE FROM {process} WHERE id = ?").run(process);
    this.#beats.delete(process);
  }

  /** Those that can't be waited for any longer. Reads only; `quick` looks at process numbers alone. */
  dead(own: number): number[] {
    const now = this.#clock.ticks();
    const rows = this.#all.all();
    for (const id of this.#beats.keys()) if (!rows.some((row) => row.id === id)) this.#beats.delete(id);
    return rows.filter((row) => row.id !== own && this.#gone(row, now)).map(({ id }) => id);
  }

  /** Those with a seat in the group that were not seen for `idleMs` by the wall clock, or are dead. */
  idle(group: number, own: number, idleMs: number): number[] {
    const before = this.#clock.now() - idleMs;
    return this.#all
      .all()
      .filter((row) => row.id !== own && (row.seen < before || isDead(row, this.#identity)))
      .map(({ id }) => id)
      .filter((id) => this.#database.query("SELECT 1 FROM {member} WHERE grp = ? AND process = ?").get(group, id) !== undefined);
  }

  /** For people. */
  list(group: number, ordered: boolean): Member[] {
    return this.#database
      .query<ProcessRow & { readonly seat: number }>(
        "SELECT {process}.*, {member}.id AS seat FROM {member} JOIN {process} ON {process}.id = {member}.process WHERE {member}.grp = ? ORDER BY {member}.id",
      )
      .all(group)
      .map((row) => ({
        id: row.member,
        name: row.name,
        host: row.host,
        pid: row.pid,
        since: new Date(row.since),
        lastSeen: new Date(row.seen),
        partitions: ordered ? this.#partitions(row.seat) : undefined,
      }));
  }

  #partitions(member: number): number[] {
    return this.#database
      .query<{ readonly partition: number }>("SELECT DISTINCT partition FROM {own} WHERE member = ? ORDER BY partition")
      .all(member)
      .map(({ partition }) => partition);
  }

  #gone(row: ProcessRow, now: number): boolean {
    if (isDead(row, this.#identity)) return true;
    const known = this.#beats.get(row.id);
    if (known?.beat === row.beat) return now - known.since > this.#leaseMs;
    this.#beats.set(row.id, { beat: row.beat, since: now });
    return false;
  }

  #abandon(member: number, counted: boolean): void {
    const rows = this.#database
      .query<{ readonly grp: number; readonly stream: number; readonly partition: number; readonly cursor: number; readonly out: number; readonly counts: string | null }>(
        "SELECT grp, stream, partition, cursor, out, counts FROM {own} WHERE member = ?",
      )
      .all(member);
    for (const row of rows) {
      const before = JSON.parse(row.counts ?? "[]") as HandedOut;
      const counts = counted ? addOwner(before, row.out, row.cursor) : before;
      this.#database
        .query("UPDATE {own} SET member = NULL, epoch = epoch + 1, out = 0, counts = ? WHERE grp = ? AND stream = ? AND partition = ?")
        .run(counts.length === 0 ? null : JSON.stringify(counts), row.grp, row.stream, row.partition);
    }
  }
}
