import type { StreamInfo, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Link, Row } from "./link.ts";
import type { Session } from "./session.ts";
import { numberOf } from "./values.ts";

export interface StreamRow {
  readonly id: number;
  readonly name: string;
  /** The private lane of the group of that name. */
  readonly queue: boolean;
  readonly topics: readonly string[];
  readonly partitions: number;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly maxMessages: number | null;
  readonly whenFull: string;
  readonly idleGroupMs: number;
}

const day = 86_400_000;
const mostPartitions = 4_096;

/** Of a message's `partition`: unique over a group's streams and lanes. */
export const partitionName = ({ queue, name }: StreamRow, partition: number): string =>
  queue ? `queue:${name}/${partition}` : `${name}/${partition}`;

/** Streams and queues by their numbers, as the server has them. */
export class Streams {
  readonly #session: Session;
  #rows = new Map<number, StreamRow>();

  constructor(session: Session) {
    this.#session = session;
    session.listen({ replaced: () => this.#rows.clear() });
  }

  known(id: number): StreamRow | undefined {
    return this.#rows.get(id);
  }

  /** Asked again when it is not known. */
  async byId(id: number): Promise<StreamRow | undefined> {
    return this.#rows.get(id) ?? (await this.all()).find((row) => row.id === id);
  }

  async all(): Promise<readonly StreamRow[]> {
    const rows = await this.#session.desk.query(
      "SELECT id, name, queue, topics, partitions, max_age, max_bytes, max_messages, when_full, idle_group FROM {stream} WHERE NOT gone ORDER BY id",
    );
    const streams = rows.map(streamOf);
    this.#rows = new Map(streams.map((stream) => [stream.id, stream]));
    return streams;
  }

  async named(name: string): Promise<StreamRow | undefined> {
    return (await this.all()).find((row) => !row.queue && row.name === name);
  }

  async existing(name: string): Promise<StreamRow> {
    const found = await this.named(name);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `postgres: there is no stream "${name}"`);
    return found;
  }

  /** What the options don't say stays as it is, or is the default. Of two who make or change it at once both are heard. */
  async ensure(options: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const { name } = options;
    for (;;) {
      const others = await this.all();
      const found = others.find((row) => !row.queue && row.name === name);
      check(options, others);
      const wanted = {
        topics: options.topics,
        partitions: options.partitions ?? found?.partitions ?? 16,
        maxAgeMs: options.maxAgeMs ?? found?.maxAgeMs ?? 7 * day,
        maxBytes: options.maxBytes ?? found?.maxBytes ?? 2 ** 30,
        maxMessages: options.maxMessages ?? found?.maxMessages ?? null,
        whenFull: options.whenFull ?? found?.whenFull ?? "reject",
        idleGroupMs: options.idleGroupMs ?? found?.idleGroupMs ?? 7 * day,
      };
      if (found === undefined) {
        if (dryRun || (await this.#make(name, wanted))) return "created";
        continue; // somebody else was first
      }
      if (wanted.partitions !== found.partitions)
        throw new DriverError(
          "BUS_CONFLICT",
          `postgres: stream "${name}" has ${found.partitions} partitions and can't have ${wanted.partitions}: that is fixed when it is made`,
        );
      const { id: _id, name: _name, queue: _queue, ...stored } = found;
      if (JSON.stringify(wanted) === JSON.stringify(stored)) return "unchanged";
      if (!dryRun) await this.#change(found.id, wanted);
      return "updated";
    }
  }

  /** Whether a stream of these options is there as it should be. */
  async missing(options: StreamOptions): Promise<string | undefined> {
    const found = await this.named(options.name);
    if (found === undefined) return `stream "${options.name}" is missing`;
    const absent = options.topics.filter((topic) => !found.topics.includes(topic));
    return absent.length === 0 ? undefined : `stream "${options.name}" doesn't capture ${absent.join(", ")}`;
  }

  /** Its messages go in batches, by whoever keeps house. */
  async remove(name: string): Promise<boolean> {
    const rows = await this.#session.desk.query(
      `WITH gone AS (UPDATE {stream} SET gone = true, name = name || ' ' || id WHERE NOT queue AND name = $1 AND NOT gone RETURNING id),
         moved AS (UPDATE {meta} SET value = (value::bigint + 1)::text WHERE key = 'routing' AND EXISTS (SELECT FROM gone) RETURNING value)
       SELECT id, (SELECT value FROM moved) FROM gone`,
      [name],
    );
    if (rows.length > 0) this.#moved(rows[0]?.[1]);
    return rows.length > 0;
  }

  async info(): Promise<readonly StreamInfo[]> {
    const streams = (await this.all()).filter(({ queue }) => !queue);
    const rows = await this.#session.desk
      .query(`SELECT p.stream, sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut),
        min(f.at), max(l.at) FILTER (WHERE l.seq >= p.first),
        (SELECT json_agg(DISTINCT g.name) FROM {place} q JOIN {grp} g ON g.id = q.grp WHERE q.stream = p.stream)
      FROM {part} p
        LEFT JOIN LATERAL (SELECT seq, total, at FROM {log} WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        LEFT JOIN LATERAL (SELECT at FROM {log} WHERE stream = p.stream AND partition = p.partition AND seq >= p.first ORDER BY seq LIMIT 1) f ON true
      GROUP BY p.stream`);
    const counts = new Map(rows.map((row) => [numberOf(row[0]), row]));
    return streams
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ id, name, topics, partitions }) => {
        const [, messages, bytes, first, last, groups] = counts.get(id) ?? [];
        return {
          name,
          topics,
          partitions,
          messages: Number(messages ?? 0),
          bytes: Number(bytes ?? 0),
          first: dateOf(first),
          last: dateOf(last),
          groups: (JSON.parse(groups ?? "null") as string[] | null) ?? [],
        };
      });
  }

  /** Moves whenever a stream is made, changed or removed by one of us. */
  async routing(): Promise<string> {
    const [row] = await this.#session.desk.query("SELECT value FROM {meta} WHERE key = 'routing'");
    return row?.[0] ?? "";
  }

  /** Of each partition the newest position. */
  async newest(
    id: number,
  ): Promise<readonly { readonly partition: number; readonly first: number; readonly last: number }[]> {
    const rows = await this.#session.desk.query(
      `SELECT p.partition, p.first, coalesce(l.seq, p.first - 1) FROM {part} p
        LEFT JOIN LATERAL (SELECT seq FROM {log} WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = $1 ORDER BY p.partition`,
      [String(id)],
    );
    return rows.map(([partition, first, last]) => ({
      partition: numberOf(partition),
      first: numberOf(first),
      last: Math.max(numberOf(last), numberOf(first) - 1),
    }));
  }

  /** Groups that read a former one of this name read this one from its beginning. */
  async #make(name: string, wanted: Omit<StreamRow, "id" | "name" | "queue">): Promise<boolean> {
    const rows = await this.#session.desk.query(
      `WITH made AS (INSERT INTO {stream} (name, queue, topics, partitions, max_age, max_bytes, max_messages, when_full, idle_group)
           VALUES ($1, false, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (queue, name) DO NOTHING RETURNING id, partitions),
         parts AS (INSERT INTO {part} (stream, partition) SELECT id, number FROM made, generate_series(0, partitions - 1) number),
         moved AS (UPDATE {meta} SET value = (value::bigint + 1)::text WHERE key = 'routing' AND EXISTS (SELECT FROM made) RETURNING value),
         readers AS (UPDATE {grp} SET version = version + 1, roster = roster + 1
           WHERE EXISTS (SELECT FROM made) AND reads::jsonb @> jsonb_build_array(jsonb_build_object('stream', $1::text)) RETURNING id),
         places AS (INSERT INTO {place} (grp, stream, partition, start, cursor)
           SELECT readers.id, made.id, number, 0, 0 FROM readers, made, generate_series(0, partitions - 1) number)
       SELECT id, (SELECT json_agg(id) FROM readers), (SELECT value FROM moved) FROM made`,
      [name, ...valuesOf(wanted)],
    );
    if (rows.length === 0) return false;
    this.#moved(rows[0]?.[2]);
    for (const group of JSON.parse(rows[0]?.[1] ?? "[]") as number[]) this.#session.announce("g", group);
    return true;
  }

  async #change(id: number, wanted: Omit<StreamRow, "id" | "name" | "queue">): Promise<void> {
    const [row] = await this.#session.desk.query(
      `WITH moved AS (UPDATE {meta} SET value = (value::bigint + 1)::text WHERE key = 'routing' RETURNING value),
         changed AS (UPDATE {stream} SET topics = $2, partitions = $3, max_age = $4, max_bytes = $5, max_messages = $6, when_full = $7, idle_group = $8 WHERE id = $1)
       SELECT value FROM moved`,
      [String(id), ...valuesOf(wanted)],
    );
    this.#moved(row?.[0]);
  }

  #moved(routing: string | null | undefined): void {
    if (typeof routing === "string") this.#session.moved(routing);
    this.#session.announce("r");
  }
}

/** Where a group, a tail or a trim starts in a stream, by partition: what is up to and including it is left out. */
export async function before(link: Link, stream: number, time: number): Promise<ReadonlyMap<number, number>> {
  // times never go back within a partition, so halving finds it
  const rows = await link.query(
    `WITH RECURSIVE halves AS (
       SELECT p.partition, p.first - 1 AS low, coalesce((SELECT seq FROM {log} WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1), p.first - 1) AS high
         FROM {part} p WHERE p.stream = $1
       UNION ALL
       SELECT h.partition, CASE WHEN m.old THEN m.middle ELSE h.low END, CASE WHEN m.old THEN h.high ELSE m.middle - 1 END
         FROM halves h, LATERAL (SELECT (h.low + h.high + 1) / 2 AS middle,
             coalesce((SELECT at < $2 FROM {log} WHERE stream = $1 AND partition = h.partition AND seq = (h.low + h.high + 1) / 2), true) AS old) m
         WHERE h.low < h.high)
     SELECT partition, max(low) FROM halves WHERE low >= high GROUP BY partition`,
    [String(stream), String(Math.ceil(time))],
  );
  return new Map(rows.map(([partition, seq]) => [numberOf(partition), numberOf(seq)]));
}

function streamOf([
  id,
  name,
  queue,
  topics,
  partitions,
  maxAge,
  maxBytes,
  maxMessages,
  whenFull,
  idleGroup,
]: Row): StreamRow {
  return {
    id: numberOf(id),
    name: name ?? "",
    queue: queue === "t",
    topics: JSON.parse(topics ?? "[]") as readonly string[],
    partitions: numberOf(partitions),
    maxAgeMs: numberOf(maxAge),
    maxBytes: numberOf(maxBytes),
    maxMessages: maxMessages === null || maxMessages === undefined ? null : Number(maxMessages),
    whenFull: whenFull ?? "reject",
    idleGroupMs: numberOf(idleGroup),
  };
}

function valuesOf(wanted: Omit<StreamRow, "id" | "name" | "queue">): readonly (string | null)[] {
  const { topics, partitions, maxAgeMs, maxBytes, maxMessages, whenFull, idleGroupMs } = wanted;
  return [
    JSON.stringify(topics),
    String(partitions),
    String(Math.round(maxAgeMs)),
    String(maxBytes),
    maxMessages === null ? null : String(maxMessages),
    whenFull,
    String(Math.round(idleGroupMs)),
  ];
}

function check(
  { name, topics, partitions = 16, replicas = 1, whenFull }: StreamOptions,
  all: readonly StreamRow[],
): void {
  if (whenFull === "wait")
    throw new DriverError("BUS_UNSUPPORTED", `postgres: stream "${name}": whenFull "wait" is memory's only`);
  if (replicas !== 1)
    throw new DriverError("BUS_UNSUPPORTED", `postgres: stream "${name}": copies are the server's to keep`);
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > mostPartitions)
    throw new DriverError(
      "BUS_INVALID_OPTION",
      `postgres: stream "${name}": "partitions" must be a whole number from 1 to ${mostPartitions}`,
    );
  for (const other of all) {
    if (other.queue || other.name === name) continue;
    const same = other.topics.find((topic) => topics.includes(topic));
    if (same !== undefined)
      throw new DriverError(
        "BUS_CONFLICT",
        `postgres: stream "${name}": stream "${other.name}" captures "${same}" already`,
      );
  }
}

function dateOf(at: string | null | undefined): Date | undefined {
  return at === null || at === undefined ? undefined : new Date(Number(at));
}
