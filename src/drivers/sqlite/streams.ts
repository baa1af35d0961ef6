import type { StreamInfo, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Database, Query } from "./database.ts";
import { HeaderTexts } from "./header-texts.ts";
import { Log } from "./log.ts";
import { createLog, dropLog } from "./schema.ts";

export interface StreamRow {
  readonly id: number;
  readonly name: string;
  /** 1: the private lane of the group of that name. */
  readonly queue: 0 | 1;
  readonly partitions: number;
  readonly max_age: number;
  readonly max_bytes: number;
  readonly max_messages: number | null;
  readonly when_full: "reject" | "drop-oldest";
  readonly idle_group: number;
  /** Of the oldest message; `last + 1` when there is none. */
  first: number;
  last: number;
  /** Never goes back, whatever the clock does. */
  last_at: number;
  bytes: number;
  largest: number;
}
interface StoredStream extends StreamRow {
  readonly topics: string;
}

const day = 86_400_000;
const mostPartitions = 4_096;
/** A queue refuses nothing and forgets nothing but what its group has handled. */
const queueDefaults = { partitions: 16, max_age: 3_650 * day, max_bytes: 2 ** 50, idle_group: 3_650 * day } as const;
const columns =
  "id, name, queue, partitions, max_age, max_bytes, max_messages, when_full, idle_group, first, last, last_at, bytes, largest";

/** Rows as this connection has read and written them. */
interface Known {
  readonly ids: Map<number, StreamRow>;
  readonly names: Map<string, StreamRow>;
}

/**
 * The streams of the file and the lanes of its groups. Synchronous; what can change is remembered within a transaction, and from
 * one to the next while no other process writes.
 */
export class Streams {
  readonly #database: Database;
  readonly texts: HeaderTexts;
  readonly #logs = new Map<number, Log>();
  /** Undefined outside of a transaction. */
  #rows: Known | undefined;
  /** As the last transaction left them. */
  #left: Known = nothing();
  readonly #byName: Query<StreamRow>;
  readonly #byId: Query<StreamRow>;
  readonly #save: Query;

  constructor(database: Database) {
    this.#database = database;
    this.texts = new HeaderTexts(database);
    this.#byName = database.query(`SELECT ${columns} FROM {stream} WHERE queue = ? AND name = ?`);
    this.#byId = database.query(`SELECT ${columns} FROM {stream} WHERE id = ?`);
    this.#save = database.query(
      "UPDATE {stream} SET first = ?, last = ?, last_at = ?, bytes = ?, largest = ? WHERE id = ?",
    );
  }

  /** A transaction has begun. `alone`: no other process has written since the last one. */
  entered(alone: boolean): void {
    this.#rows = alone ? this.#left : nothing();
  }

  /** It has ended. */
  left(committed: boolean): void {
    this.#left = committed ? (this.#rows ?? nothing()) : nothing();
    this.#rows = undefined;
    if (committed) return;
    this.texts.undone();
    for (const log of this.#logs.values()) log.recent.clear();
  }

  named(name: string): StreamRow | undefined {
    return this.#find(0, name);
  }

  queueOf(group: string): StreamRow | undefined {
    return this.#find(1, group);
  }

  byId(id: number): StreamRow | undefined {
    return this.#rows?.ids.get(id) ?? this.#keep(this.#byId.get(id));
  }

  #find(queue: 0 | 1, name: string): StreamRow | undefined {
    return this.#rows?.names.get(`${queue} ${name}`) ?? this.#keep(this.#byName.get(queue, name));
  }

  #keep(row: StreamRow | undefined): StreamRow | undefined {
    if (row === undefined || this.#rows === undefined) return row;
    this.#rows.ids.set(row.id, row);
    this.#rows.names.set(`${row.queue} ${row.name}`, row);
    return row;
  }

  #unknow({ id, queue, name }: StreamRow): void {
    this.#rows?.ids.delete(id);
    this.#rows?.names.delete(`${queue} ${name}`);
  }

  all(): StreamRow[] {
    return this.#database.query<StreamRow>(`SELECT ${columns} FROM {stream} ORDER BY id`).all();
  }

  log(id: number): Log {
    let log = this.#logs.get(id);
    if (log === undefined) this.#logs.set(id, (log = new Log(this.#database, id, this.texts)));
    return log;
  }

  /** The group need not exist. */
  makeQueue(group: string): StreamRow {
    const found = this.queueOf(group);
    if (found !== undefined) return found;
    const { partitions, max_age, max_bytes, idle_group } = queueDefaults;
    return this.#make(1, group, [], partitions, max_age, max_bytes, null, "reject", idle_group);
  }

  /** What the options don't say stays as it is, or is the default. */
  ensure(options: StreamOptions, dryRun = false): "created" | "unchanged" | "updated" {
    const { name, topics } = options;
    this.#check(options);
    const found = this.#database.query<StoredStream>("SELECT * FROM {stream} WHERE queue = 0 AND name = ?").get(name);
    const maxAgeMs = options.maxAgeMs ?? found?.max_age ?? 7 * day;
    const maxBytes = options.maxBytes ?? found?.max_bytes ?? 2 ** 30;
    const maxMessages = options.maxMessages ?? found?.max_messages ?? null;
    const whenFull = options.whenFull ?? found?.when_full ?? "reject";
    const idleGroupMs = options.idleGroupMs ?? found?.idle_group ?? 7 * day;
    if (found === undefined) {
      if (dryRun) return "created";
      this.#make(0, name, topics, options.partitions ?? 16, maxAgeMs, maxBytes, maxMessages, whenFull, idleGroupMs);
      this.#touch();
      return "created";
    }
    if (options.partitions !== undefined && options.partitions !== found.partitions)
      throw new DriverError(
        "BUS_CONFLICT",
        `sqlite: stream "${name}" has ${found.partitions} partitions and can't have ${options.partitions}: that is fixed when it is made`,
      );
    const text = JSON.stringify(topics);
    if (
      found.topics === text &&
      found.max_age === maxAgeMs &&
      found.max_bytes === maxBytes &&
      found.max_messages === maxMessages &&
      found.when_full === whenFull &&
      found.idle_group === idleGroupMs
    )
      return "unchanged";
    if (dryRun) return "updated";
    this.#database
      .query(
        "UPDATE {stream} SET topics = ?, max_age = ?, max_bytes = ?, max_messages = ?, when_full = ?, idle_group = ? WHERE id = ?",
      )
      .run(text, maxAgeMs, maxBytes, maxMessages, whenFull, idleGroupMs, found.id);
    this.#unknow(found);
    this.#touch();
    return "updated";
  }

  #check({ name, topics, partitions = 16, replicas = 1, whenFull }: StreamOptions): void {
    if (whenFull === "wait")
      throw new DriverError("BUS_UNSUPPORTED", `sqlite: stream "${name}": whenFull "wait" is memory's only`);
    if (replicas !== 1) throw new DriverError("BUS_UNSUPPORTED", `sqlite: stream "${name}": a file has no replicas`);
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions)
      throw new DriverError(
        "BUS_INVALID_OPTION",
        `sqlite: stream "${name}": "partitions" must be a whole number from 1 to ${mostPartitions}`,
      );
    for (const other of this.#database
      .query<StoredStream>("SELECT * FROM {stream} WHERE queue = 0 AND name <> ?")
      .all(name)) {
      const same = (JSON.parse(other.topics) as readonly string[]).find((topic) => topics.includes(topic));
      if (same !== undefined)
        throw new DriverError(
          "BUS_CONFLICT",
          `sqlite: stream "${name}": stream "${other.name}" captures "${same}" already`,
        );
    }
  }

  /** Whether a stream of these options is there as it should be. */
  missing(options: StreamOptions): string | undefined {
    const found = this.#database
      .query<StoredStream>("SELECT * FROM {stream} WHERE queue = 0 AND name = ?")
      .get(options.name);
    if (found === undefined) return `stream "${options.name}" is missing`;
    const topics = JSON.parse(found.topics) as readonly string[];
    const absent = options.topics.filter((topic) => !topics.includes(topic));
    return absent.length === 0 ? undefined : `stream "${options.name}" doesn't capture ${absent.join(", ")}`;
  }

  /** What appending and trimming changed in the row. */
  save(stream: StreamRow): void {
    this.#keep(stream);
    this.#save.run(stream.first, stream.last, stream.last_at, stream.bytes, stream.largest, stream.id);
  }

  remove(stream: StreamRow): void {
    this.#logs.delete(stream.id);
    this.#unknow(stream);
    dropLog(this.#database, stream.id);
    for (const table of ["cursor", "claim", "held", "own", "delayed"])
      this.#database.query(`DELETE FROM {${table}} WHERE stream = ?`).run(stream.id);
    this.#database.query("DELETE FROM {stream} WHERE id = ?").run(stream.id);
    if (stream.queue === 0) this.#touch();
  }

  /** Moves whenever a stream comes, goes or captures other topics. */
  routing(): number {
    return (
      this.#database.query<{ readonly value: number }>("SELECT value FROM {meta} WHERE key = 'routing'").get()?.value ??
      0
    );
  }

  info(): StreamInfo[] {
    return this.#database
      .query<StoredStream>("SELECT * FROM {stream} WHERE queue = 0 ORDER BY name")
      .all()
      .map((row) => ({
        name: row.name,
        topics: JSON.parse(row.topics) as readonly string[],
        partitions: row.partitions,
        messages: row.last - row.first + 1,
        bytes: row.bytes,
        first: dateOf(this.log(row.id).at(row.first)),
        last: row.last < row.first ? undefined : dateOf(row.last_at),
        groups: this.#groupsOf(row.id),
      }));
  }

  #groupsOf(stream: number): string[] {
    return this.#database
      .query<{ readonly name: string }>(
        `SELECT name FROM {grp} WHERE id IN (SELECT grp FROM {cursor} WHERE stream = ? UNION SELECT grp FROM {own} WHERE stream = ?) ORDER BY name`,
      )
      .all(stream, stream)
      .map(({ name }) => name);
  }

  #make(
    queue: 0 | 1,
    name: string,
    topics: readonly string[],
    partitions: number,
    maxAge: number,
    maxBytes: number,
    maxMessages: number | null,
    whenFull: string,
    idleGroup: number,
  ): StreamRow {
    const id = this.#database
      .query(
        "INSERT INTO {stream} (name, queue, topics, partitions, max_age, max_bytes, max_messages, when_full, idle_group) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      )
      .insert(name, queue, JSON.stringify(topics), partitions, maxAge, maxBytes, maxMessages, whenFull, idleGroup);
    createLog(this.#database, id);
    return this.byId(id)!;
  }

  #touch(): void {
    this.#database.query("UPDATE {meta} SET value = value + 1 WHERE key = 'routing'").run();
  }
}

function nothing(): Known {
  return { ids: new Map(), names: new Map() };
}

function dateOf(at: number | undefined): Date | undefined {
  return at === undefined ? undefined : new Date(at);
}

/** Of a message's `partition`: unique over a group's streams and lanes. */
export function partitionName(stream: StreamRow, partition: number): string {
  return stream.queue === 1 ? `queue:${stream.name}/${partition}` : `${stream.name}/${partition}`;
}
