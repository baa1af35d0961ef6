import type { GroupSpec, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { withoutCovered } from "../../internal/topic-trie.ts";
import type { Database, Query } from "./database.ts";
import { startAfter, startOf, type Start } from "./start.ts";
import type { StreamRow, Streams } from "./streams.ts";

export interface GroupRow {
  readonly id: number;
  readonly name: string;
  /** `GroupSpec.reads` as JSON. */
  readonly reads: string;
  readonly origin: string;
  /** `GroupSpec.order`. */
  readonly keeps: "group" | "process" | "none";
  readonly live: 0 | 1;
  /** Moves with the definition. */
  readonly version: number;
  /** Moves when a member comes or goes. */
  readonly roster: number;
}
type Reads = GroupSpec["reads"];

const tables = ["cursor", "claim", "held", "own", "member"];

/** Definitions of groups and where they start. Synchronous; within the caller's transaction. */
export class GroupStore {
  readonly #database: Database;
  readonly #streams: Streams;
  readonly #byId: Query<GroupRow>;
  readonly #byName: Query<GroupRow>;
  readonly #touch: Query;

  constructor(database: Database, streams: Streams) {
    this.#database = database;
    this.#streams = streams;
    this.#byId = database.query("SELECT * FROM {grp} WHERE id = ?");
    this.#byName = database.query("SELECT * FROM {grp} WHERE name = ?");
    this.#touch = database.query("UPDATE {grp} SET roster = roster + 1, idle_since = ? WHERE id = ?");
  }

  byId(id: number): GroupRow | undefined {
    return this.#byId.get(id);
  }

  named(name: string): GroupRow | undefined {
    return this.#byName.get(name);
  }

  all(): GroupRow[] {
    return this.#database.query<GroupRow>("SELECT * FROM {grp} ORDER BY name").all();
  }

  /** Makes it, or lets what is stored grow by what is new. `grew`: members have to be told. */
  ensure(spec: GroupSpec, now: number): { readonly row: GroupRow; readonly grew: boolean } {
    const found = this.named(spec.group);
    if (found === undefined) return { row: this.#make(spec, now), grew: false };
    if (spec.order !== undefined && spec.order !== found.keeps)
      throw new DriverError(
        "BUS_CONFLICT",
        `sqlite: group "${spec.group}" keeps order by "${found.keeps}", not by "${spec.order}": that is fixed when it is made`,
      );
    if (spec.live !== (found.live === 1))
      throw new DriverError(
        "BUS_CONFLICT",
        `sqlite: group "${spec.group}" is ${found.live === 1 ? "" : "not "}live: that is fixed when it is made`,
      );
    const reads = union(JSON.parse(found.reads) as Reads, spec.reads);
    if (JSON.stringify(reads) === found.reads) return { row: found, grew: false };
    return { row: this.#change(found, reads), grew: true };
  }

  /** Also takes patterns away. */
  update(name: string, reads: Reads): GroupRow {
    const found = this.#existing(name);
    for (const { stream } of JSON.parse(found.reads) as Reads) {
      const row = reads.some((read) => read.stream === stream) ? undefined : this.#streams.named(stream);
      if (row === undefined) continue;
      for (const table of tables.slice(0, 4))
        this.#database.query(`DELETE FROM {${table}} WHERE grp = ? AND stream = ?`).run(found.id, row.id);
    }
    return this.#change(found, union([], reads));
  }

  /** Its private lane stays as it is. */
  reset(name: string, to: StartAt): void {
    const found = this.#existing(name);
    if (this.#database.query("SELECT 1 FROM {member} WHERE grp = ? LIMIT 1").get(found.id) !== undefined)
      throw new DriverError("BUS_CONFLICT", `sqlite: group "${name}" has active members: stop them first`);
    for (const { stream } of JSON.parse(found.reads) as Reads) {
      const row = this.#streams.named(stream);
      if (row === undefined) continue;
      for (const table of tables.slice(0, 4))
        this.#database.query(`DELETE FROM {${table}} WHERE grp = ? AND stream = ?`).run(found.id, row.id);
      this.#start(found, row, startOf(this.#streams, row, to));
    }
  }

  /**
   * Back to before a member's oldest unsettled, if the group was made anew since and starts later than that; repeats are
   * allowed. Owners of partitions are fenced off, they read again.
   */
  resume(group: GroupRow, positions: ReadonlyMap<string, string>): void {
    for (const stream of this.sources(group)) {
      const start = startAfter(stream, positions);
      if (group.keeps === "group")
        for (const [partition, seq] of start.partitions)
          this.#database
            .query(
              "UPDATE {own} SET start = ?1, cursor = min(cursor, ?1), done = NULL, member = NULL, epoch = epoch + 1 WHERE grp = ?2 AND stream = ?3 AND partition = ?4 AND start > ?1",
            )
            .run(seq, group.id, stream.id, partition);
      else
        this.#database
          .query(
            "UPDATE {cursor} SET start = ?1, seq = min(seq, ?1), skips = NULL WHERE grp = ?2 AND stream = ?3 AND start > ?1",
          )
          .run(start.seq, group.id, stream.id);
    }
  }

  remove(name: string): boolean {
    const found = this.named(name);
    if (found === undefined) return false;
    const queue = this.#streams.queueOf(name);
    if (queue !== undefined) this.#streams.remove(queue);
    for (const table of tables) this.#database.query(`DELETE FROM {${table}} WHERE grp = ?`).run(found.id);
    this.#database.query("DELETE FROM {letter} WHERE grp = ?").run(name);
    this.#database.query("DELETE FROM {grp} WHERE id = ?").run(found.id);
    return true;
  }

  /** A member came or went. */
  touch(id: number, now: number): void {
    this.#touch.run(now, id);
  }

  /** The streams that it reads and, last, its private lane. */
  sources(group: GroupRow): StreamRow[] {
    const names = (JSON.parse(group.reads) as Reads).map(({ stream }) => this.#streams.named(stream));
    return [...names, this.#streams.queueOf(group.name)].filter((stream) => stream !== undefined);
  }

  spec(row: GroupRow): GroupSpec {
    return {
      group: row.name,
      reads: JSON.parse(row.reads) as Reads,
      from: JSON.parse(row.origin) as StartAt,
      order: row.keeps,
      live: row.live === 1,
    };
  }

  #existing(name: string): GroupRow {
    const found = this.named(name);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `sqlite: there is no group "${name}"`);
    return found;
  }

  #make(spec: GroupSpec, now: number): GroupRow {
    const reads = union([], spec.reads);
    const from: StartAt = spec.live ? { at: "newest" } : spec.from; // a live group has no past
    const id = this.#database
      .query("INSERT INTO {grp} (name, reads, origin, keeps, live, idle_since) VALUES (?, ?, ?, ?, ?, ?)")
      .insert(spec.group, JSON.stringify(reads), JSON.stringify(from), spec.order ?? "group", spec.live ? 1 : 0, now);
    const row = this.byId(id)!;
    for (const { stream } of reads) {
      const source = this.#stream(stream, spec.group);
      this.#start(row, source, startOf(this.#streams, source, from));
    }
    const queue = this.#streams.makeQueue(spec.group);
    this.#start(row, queue, startOf(this.#streams, queue, { at: "oldest" }));
    return row;
  }

  /** A stream that it did not read before starts at its oldest. */
  #change(row: GroupRow, reads: Reads): GroupRow {
    const before = JSON.parse(row.reads) as Reads;
    for (const { stream } of reads) {
      if (before.some((read) => read.stream === stream)) continue;
      const source = this.#stream(stream, row.name);
      this.#start(row, source, startOf(this.#streams, source, { at: "oldest" }));
    }
    this.#database
      .query("UPDATE {grp} SET reads = ?, version = version + 1, roster = roster + 1 WHERE id = ?")
      .run(JSON.stringify(reads), row.id);
    return this.byId(row.id)!;
  }

  #stream(name: string, group: string): StreamRow {
    const found = this.#streams.named(name);
    if (found === undefined)
      throw new DriverError(
        "BUS_NOT_FOUND",
        `sqlite: group "${group}" reads the stream "${name}", which does not exist`,
      );
    return found;
  }

  #start(group: GroupRow, stream: StreamRow, start: Start): void {
    if (group.keeps !== "group") {
      const skips = [...start.partitions].filter(([, seq]) => seq > start.seq);
      this.#database
        .query("INSERT OR REPLACE INTO {cursor} (grp, stream, seq, start, skips) VALUES (?, ?, ?, ?, ?)")
        .run(group.id, stream.id, start.seq, start.seq, skips.length === 0 ? null : JSON.stringify(skips));
      return;
    }
    for (let partition = 0; partition < stream.partitions; partition += 1) {
      const seq = start.partitions.get(partition) ?? start.seq;
      this.#database
        .query("INSERT OR REPLACE INTO {own} (grp, stream, partition, cursor, start) VALUES (?, ?, ?, ?, ?)")
        .run(group.id, stream.id, partition, seq, seq);
    }
  }
}

/** Without what is covered; sorted, so that equal definitions have equal texts. */
function union(left: Reads, right: Reads): Reads {
  const streams = new Map<string, string[]>();
  for (const { stream, patterns } of [...left, ...right])
    streams.set(stream, [...(streams.get(stream) ?? []), ...patterns]);
  return [...streams]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([stream, patterns]) => ({ stream, patterns: withoutCovered(patterns) }));
}
