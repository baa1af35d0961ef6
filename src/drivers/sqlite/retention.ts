import { DriverError } from "../../internal/driver-error.ts";
import type { Database } from "./database.ts";
import { decodeSequences, encodeSequences } from "../../internal/rows/sequence-set.ts";
import type { StreamRow, Streams } from "./streams.ts";
import { TopicFilter } from "./topic-filter.ts";

interface Reader {
  readonly grp: number;
  readonly reads: string;
  readonly stream_name: string;
}
interface Floor {
  readonly floor: number | null;
}
/** Rows that go in one transaction at most. */
const trimAtOnce = 1_000;

/**
 * What leaves the logs. Age takes everything; size first what every group has handled, then refuses or drops the oldest, as the
 * stream says. What is dropped unhandled is counted for its groups, whose members are told with their next claim.
 */
export class Retention {
  readonly #database: Database;
  readonly #streams: Streams;
  readonly #lost: (group: number) => void;

  /** `lost`: members of the group have something to say, once the transaction is committed. */
  constructor(database: Database, streams: Streams, lost: (group: number) => void) {
    this.#database = database;
    this.#streams = streams;
    this.#lost = lost;
  }

  /** Makes room for one more message; the reason, when there is none. The caller saves the row. */
  room(stream: StreamRow, bytes: number, now: number): DriverError | undefined {
    const most = stream.max_messages ?? Number.POSITIVE_INFINITY;
    const fits = (): boolean => stream.bytes + bytes <= stream.max_bytes && stream.last - stream.first + 1 < most;
    if (fits()) return undefined;
    if (bytes > stream.max_bytes || most < 1)
      return new DriverError("BUS_TOO_LARGE", `sqlite: ${bytes} bytes are more than stream "${stream.name}" may hold`);
    this.#trimUntil(stream, Math.min(this.handledUpTo(stream, now), stream.last), fits);
    if (fits()) return undefined;
    if (stream.when_full === "drop-oldest") {
      this.#trimUntil(stream, stream.last, fits);
      return undefined;
    }
    return new DriverError(
      "BUS_FULL",
      `sqlite: stream "${stream.name}" is full (${stream.last - stream.first + 1} messages, ${stream.bytes} bytes) and its groups have not handled the oldest`,
      { retryable: true },
    );
  }

  /** The file or its disk is full: a tenth of what every group has handled makes room. How many messages went. */
  relieve(now: number): number {
    let count = 0;
    for (const stream of this.#streams.all()) {
      const tenth = Math.min(trimAtOnce, Math.max(64, Math.floor((stream.last - stream.first + 1) / 10)));
      count += this.trim(stream, stream.first + tenth - 1, now);
    }
    return count;
  }

  /** What is too old, at most a batch of it; true when there may be more. */
  expire(stream: StreamRow, now: number): boolean {
    const old = this.#streams.log(stream.id).before(now - stream.max_age, stream.first, stream.last);
    if (old < stream.first) return false;
    const upTo = Math.min(old, stream.first + trimAtOnce - 1);
    this.#trim(stream, upTo);
    this.#streams.save(stream);
    return upTo < old;
  }

  /** What its group has handled of a queue, which nobody else will ever read. True when there may be more. */
  sweepQueue(stream: StreamRow, now: number): boolean {
    if (this.#groupsOf(stream).length === 0) return false;
    const handled = Math.min(this.handledUpTo(stream, now), stream.last);
    if (handled < stream.first) return false;
    const upTo = Math.min(handled, stream.first + trimAtOnce - 1);
    this.#trim(stream, upTo);
    this.#streams.save(stream);
    return upTo < handled;
  }

  /** Up to and including `upTo`, but never what a group has not handled. How many went. */
  trim(stream: StreamRow, upTo: number, now: number): number {
    const last = Math.min(upTo, this.handledUpTo(stream, now), stream.last);
    if (last < stream.first) return 0;
    const count = last - stream.first + 1;
    this.#trim(stream, last);
    this.#streams.save(stream);
    return count;
  }

  /** Up to here every group has handled everything; one that had no member for long holds nothing back. */
  handledUpTo(stream: StreamRow, now: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const grp of this.#groupsOf(stream, now - stream.idle_group))
      lowest = Math.min(lowest, this.floorOf(grp, stream.id));
    return lowest;
  }

  /** Everything of one group up to and including this is settled. */
  floorOf(grp: number, stream: number): number {
    const owned = this.#database
      .query<Floor>("SELECT min(cursor) AS floor FROM {own} WHERE grp = ? AND stream = ?")
      .get(grp, stream)?.floor;
    if (owned !== undefined && owned !== null) return owned;
    const parts = [
      this.#database.query<Floor>("SELECT seq AS floor FROM {cursor} WHERE grp = ? AND stream = ?").get(grp, stream),
      this.#database
        .query<Floor>("SELECT min(low) - 1 AS floor FROM {claim} WHERE grp = ? AND stream = ?")
        .get(grp, stream),
      this.#database
        .query<Floor>("SELECT min(seq) - 1 AS floor FROM {held} WHERE grp = ? AND stream = ?")
        .get(grp, stream),
    ];
    return Math.min(...parts.map((part) => part?.floor ?? Number.POSITIVE_INFINITY));
  }

  #groupsOf(stream: StreamRow, idleSince?: number): number[] {
    const rows = this.#database
      .query<{ readonly grp: number; readonly idle_since: number; readonly members: number }>(
        `SELECT id AS grp, idle_since, (SELECT count(*) FROM {member} WHERE grp = {grp}.id) AS members FROM {grp}
         WHERE id IN (SELECT grp FROM {cursor} WHERE stream = ?1 UNION SELECT grp FROM {own} WHERE stream = ?1)`,
      )
      .all(stream.id);
    return rows
      .filter((row) => idleSince === undefined || row.members > 0 || row.idle_since > idleSince)
      .map(({ grp }) => grp);
  }

  #trimUntil(stream: StreamRow, upTo: number, enough: () => boolean): void {
    while (stream.first <= upTo && !enough()) {
      // A little more than is needed, or every message would pay for the next one's room.
      const slack = Math.floor((stream.last - stream.first + 1) / 100);
      this.#trim(stream, Math.min(upTo, stream.first + Math.min(slack, trimAtOnce)));
    }
  }

  /** Those who held nothing back any more are told too. */
  #trim(stream: StreamRow, upTo: number): void {
    const log = this.#streams.log(stream.id);
    const gone = log.outline(stream.first - 1, upTo);
    for (const reader of this.#readers(stream))
      if (this.floorOf(reader.grp, stream.id) < upTo) this.#lose(stream, reader, gone, upTo);
    log.remove(upTo);
    for (const { size } of gone) stream.bytes -= size;
    stream.bytes = Math.max(0, stream.bytes);
    stream.first = upTo + 1;
  }

  /** What is in a member's hands is not lost yet; it is found missing if that member dies. */
  #lose(
    stream: StreamRow,
    { grp, reads }: Reader,
    gone: ReturnType<ReturnType<Streams["log"]>["outline"]>,
    upTo: number,
  ): void {
    const patterns =
      stream.queue === 1
        ? [">"]
        : (JSON.parse(reads) as readonly { readonly stream: string; readonly patterns: readonly string[] }[]).find(
            (read) => read.stream === stream.name,
          )?.patterns;
    const filter = new TopicFilter(patterns ?? []);
    const missed = gone.filter(({ topic }) => filter.matches(topic));
    const cursor = this.#database
      .query<{ readonly seq: number }>("SELECT seq FROM {cursor} WHERE grp = ? AND stream = ?")
      .get(grp, stream.id);
    let lost = 0;
    if (cursor !== undefined && cursor.seq < upTo) {
      const count = missed.filter(({ seq }) => seq > cursor.seq).length;
      this.#database
        .query("UPDATE {cursor} SET seq = ?, lost = lost + ? WHERE grp = ? AND stream = ?")
        .run(upTo, count, grp, stream.id);
      lost += count;
    }
    const owned = this.#database
      .query<{
        readonly partition: number;
        readonly cursor: number;
        readonly out: number;
        readonly member: number | null;
        readonly done: Uint8Array | null;
      }>("SELECT partition, cursor, out, member, done FROM {own} WHERE grp = ? AND stream = ?")
      .all(grp, stream.id);
    for (const { partition, cursor: settled, out, member, done } of owned) {
      // in a member's hands it is known there what is settled above the cursor
      const above = member === null ? decodeSequences(settled, done) : new Set<number>();
      const handedOut = member === null ? settled : Math.max(settled, out);
      const count = missed.filter(
        (row) => row.partition === partition && row.seq > handedOut && !above.has(row.seq),
      ).length;
      const moves = member === null && settled < upTo;
      const left = [...above].filter((seq) => seq > upTo);
      this.#database
        .query("UPDATE {own} SET lost = lost + ?, cursor = ?, done = ? WHERE grp = ? AND stream = ? AND partition = ?")
        .run(count, moves ? upTo : settled, moves ? encodeSequences(upTo, left) : done, grp, stream.id, partition);
      lost += count;
    }
    // Its members look at what they own when the roster moves, and say what they find lost.
    if (owned.length > 0) this.#database.query("UPDATE {grp} SET roster = roster + 1 WHERE id = ?").run(grp);
    if (lost > 0) this.#lost(grp);
  }

  #readers(stream: StreamRow): Reader[] {
    return this.#groupsOf(stream).flatMap((grp) =>
      this.#database
        .query<Reader>("SELECT id AS grp, reads, ? AS stream_name FROM {grp} WHERE id = ?")
        .all(stream.name, grp),
    );
  }
}
