import type { Clock } from "../../clock.ts";
import type { Member } from "../../driver.ts";
import type { Database, Query } from "./database.ts";
import type { GroupStore } from "./group-store.ts";
import { isOpenIn } from "../../internal/rows/claim.ts";
import type { ClaimRow } from "./claim-store.ts";
import { addOwner, type HandedOut } from "../../internal/rows/handed-out.ts";
import type { OwnRow } from "./own-store.ts";
import { decodeSequences } from "../../internal/rows/sequence-set.ts";
import { Liveness, type LivingRow } from "./liveness.ts";

interface ProcessRow extends LivingRow {
  readonly member: string;
  readonly name: string;
  readonly host: string;
  readonly since: number;
  readonly seen: number;
}

/** The processes that share the file and their seats in groups. Synchronous; within the caller's transaction. */
export class Members {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #groups: GroupStore;
  readonly #self: Member;
  readonly #liveness: Liveness;
  readonly #leaseMs: number;
  readonly #there: Query;
  readonly #beat: Query;
  readonly #all: Query<ProcessRow>;

  constructor(database: Database, clock: Clock, groups: GroupStore, self: Member, leaseMs: number) {
    this.#database = database;
    this.#clock = clock;
    this.#groups = groups;
    this.#self = self;
    this.#liveness = new Liveness(clock, leaseMs);
    this.#leaseMs = leaseMs;
    this.#there = database.query("SELECT 1 FROM {process} WHERE id = ?");
    this.#beat = database.query("UPDATE {process} SET beat = beat + 1, seen = ? WHERE id = ?");
    this.#all = database.query("SELECT * FROM {process}");
  }

  /** This connection's row. */
  join(): number {
    const { id, name, host, since } = this.#self;
    const { pid, started, space } = this.#liveness.self;
    return this.#database
      .query(
        "INSERT INTO {process} (member, name, host, pid, started, space, since, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      )
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
    const id = this.#database
      .query("INSERT INTO {member} (grp, process, version) VALUES (?, ?, ?)")
      .insert(group, process, version);
    const now = this.#clock.now();
    this.#groups.touch(group, now);
    // Perhaps the new one can handle what the others released.
    this.#database
      .query(
        "UPDATE {held} SET not_before = coalesce(not_before, due), due = ?1 WHERE grp = ?2 AND member IS NULL AND avoid IS NOT NULL AND due > ?1",
      )
      .run(now, group);
    return id;
  }

  knows(member: number, version: number): void {
    this.#database.query("UPDATE {member} SET version = ? WHERE id = ?").run(version, member);
  }

  /** Whether every member of the group has seen this version of its definition. */
  allKnow(group: number, version: number): boolean {
    return (
      this.#database.query("SELECT 1 FROM {member} WHERE grp = ? AND version < ? LIMIT 1").get(group, version) ===
      undefined
    );
  }

  seats(group: number): number[] {
    return this.#database
      .query<{ readonly id: number }>("SELECT id FROM {member} WHERE grp = ? ORDER BY id")
      .all(group)
      .map(({ id }) => id);
  }

  /** Hands back what the member holds; `counted` when it may have been handed to a handler. */
  leave(member: number, counted: boolean): void {
    const minus = counted ? 0 : 1;
    this.#database
      .query("UPDATE {claim} SET member = NULL, deliveries = deliveries - ? WHERE member = ?")
      .run(minus, member);
    this.#database
      .query("UPDATE {held} SET member = NULL, due = 0, deliveries = deliveries - ? WHERE member = ?")
      .run(minus, member);
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
    const seats = this.#database
      .query<{ readonly id: number }>("SELECT id FROM {member} WHERE process = ?")
      .all(process);
    for (const { id } of seats) this.leave(id, true);
    this.#database.query("DELETE FROM {process} WHERE id = ?").run(process);
  }

  /** Those that can't be waited for any longer. Reads only. */
  dead(own: number): number[] {
    return this.#liveness.gone(this.#all.all().filter(({ id }) => id !== own));
  }

  /** Those with a seat in the group that were not seen for `idleMs`, and a lease at least, by the wall clock, or are dead. */
  idle(group: number, own: number, idleMs: number): number[] {
    const before = this.#clock.now() - Math.max(idleMs, this.#leaseMs);
    return this.#all
      .all()
      .filter((row) => row.id !== own && (row.seen <= before || this.#liveness.isDead(row)))
      .map(({ id }) => id)
      .filter(
        (id) =>
          this.#database.query("SELECT 1 FROM {member} WHERE grp = ? AND process = ?").get(group, id) !== undefined,
      );
  }

  /**
   * Who is to have a released message only after its delay: those who released it. `rest`: all have. Whoever has it again after that
   * begins the next round.
   */
  avoiding(group: number, before: string, self: string): { readonly avoid: string; readonly rest: boolean } {
    const all = this.#database
      .query<{ readonly member: string }>(
        "SELECT member FROM {process} WHERE id IN (SELECT process FROM {member} WHERE grp = ?)",
      )
      .all(group);
    const avoid = before.includes(self) ? `${self}|` : `${before}${self}|`;
    return { avoid, rest: all.every(({ member }) => avoid.includes(member)) };
  }

  /** How many messages its members hold. */
  inHands(group: number): number {
    const claims = this.#database
      .query<ClaimRow>("SELECT * FROM {claim} WHERE grp = ? AND member IS NOT NULL")
      .all(group);
    let count = 0;
    for (const row of claims) for (let seq = row.low; seq <= row.last; seq += 1) if (isOpenIn(row, seq)) count += 1;
    count += this.#database
      .query<{ readonly count: number }>(
        "SELECT count(*) AS count FROM {held} WHERE grp = ? AND member IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {own} WHERE grp = ?1)",
      )
      .get(group)!.count;
    const owned = this.#database.query<OwnRow>("SELECT * FROM {own} WHERE grp = ? AND member IS NOT NULL").all(group);
    for (const { stream, partition, cursor, out, done } of owned) {
      if (out <= cursor) continue;
      const rows = this.#database
        .query<{ readonly count: number }>(
          `SELECT count(*) AS count FROM {log_${stream}} WHERE seq > ? AND seq <= ? AND partition = ?`,
        )
        .get(cursor, out, partition);
      count += (rows?.count ?? 0) - decodeSequences(cursor, done).size;
    }
    return count;
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

  #abandon(member: number, counted: boolean): void {
    const rows = this.#database
      .query<{
        readonly grp: number;
        readonly stream: number;
        readonly partition: number;
        readonly cursor: number;
        readonly out: number;
        readonly counts: string | null;
      }>("SELECT grp, stream, partition, cursor, out, counts FROM {own} WHERE member = ?")
      .all(member);
    for (const row of rows) {
      const before = JSON.parse(row.counts ?? "[]") as HandedOut;
      const counts = counted ? addOwner(before, row.out, row.cursor) : before;
      this.#database
        .query(
          "UPDATE {own} SET member = NULL, epoch = epoch + 1, out = 0, counts = ? WHERE grp = ? AND stream = ? AND partition = ?",
        )
        .run(counts.length === 0 ? null : JSON.stringify(counts), row.grp, row.stream, row.partition);
    }
  }
}
