import { forgetCancelled } from "./delayed.ts";
import type { Definitions } from "./definitions.ts";
import { regexOf } from "./pattern-regex.ts";
import type { Session } from "./session.ts";
import type { StreamRow, Streams } from "./streams.ts";
import { Vacuum } from "./vacuum.ts";
import { arrayOf, numberOf, textArrayOf } from "./values.ts";
import { nowMs } from "./functions/append.ts";

const everyMs = 5_000;
const pauseMs = 20;

interface Readers {
  readonly groups: number[];
  readonly patterns: (string | null)[];
}

/** What has to be done now and then, by whichever process comes first: what is too old, what is deleted, what ran out. */
export class Chores {
  readonly #session: Session;
  readonly #streams: Streams;
  readonly #definitions: Definitions;
  readonly #vacuum: Vacuum;
  #timer: Disposable | undefined;

  constructor(session: Session, streams: Streams, definitions: Definitions) {
    this.#session = session;
    this.#streams = streams;
    this.#definitions = definitions;
    this.#vacuum = new Vacuum(session);
    this.#later();
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
  }

  /** Makes room in a full stream: the oldest that every group has handled, or, where the stream says so, the oldest of all. False: nothing more can go. */
  async relieve(stream: number): Promise<boolean> {
    const row = this.#streams.known(stream) ?? (await this.#streams.byId(stream));
    if (row === undefined) return false;
    const { groups, patterns } = await this.#readers(row);
    const [answer] = await this.#session.desk.query("SELECT {1:relieve}($1, $2, $3)", [
      String(stream),
      arrayOf(groups),
      textArrayOf(patterns),
    ]);
    return Number(answer?.[0] ?? 0) > 0;
  }

  /** Up to those positions, and never what a group has not handled. How many went. */
  async trim(stream: StreamRow, upTo: ReadonlyMap<number, number>): Promise<number> {
    const handled = await this.#handled(stream);
    const readers = await this.#readers(stream);
    let removed = 0;
    for (const [partition, seq] of upTo) {
      const last = Math.min(seq, handled.get(partition) ?? Number.MAX_SAFE_INTEGER);
      for (let count = 1_000; count >= 1_000; removed += count)
        count = await this.#trimOnce(stream.id, partition, last, null, readers);
    }
    return removed;
  }

  #later(): void {
    this.#timer = this.#session.later(everyMs * (0.8 + this.#session.clock.random() * 0.4), () => {
      this.#work().then(
        () => this.#later(),
        () => this.#later(), // not connected, or refused: in a while again
      );
    });
  }

  async #work(): Promise<void> {
    if (!this.#session.isUp) return;
    const { desk } = this.#session;
    for (const [id] of await desk.query("SELECT id FROM {stream} WHERE gone")) await this.#sweep(id ?? "");
    for (const stream of await this.#streams.all())
      await (stream.queue ? this.#sweepQueue(stream) : this.#expire(stream));
    await desk.query("SELECT {1:tidy}()");
    await forgetCancelled(this.#session);
    await this.#vacuum.look();
  }

  async #sweep(id: string): Promise<void> {
    for (;;) {
      const [row] = await this.#session.desk.query("SELECT {1:sweep}($1)", [id]);
      if (row?.[0] !== "f") return;
      await this.#pause();
    }
  }

  async #expire(stream: StreamRow): Promise<void> {
    const rows = await this.#session.desk.query(
      `SELECT p.partition, ${nowMs} - $2 FROM {part} p JOIN LATERAL (SELECT at FROM {log}
          WHERE stream = p.stream AND partition = p.partition AND seq >= p.first ORDER BY seq LIMIT 1) f ON true
        WHERE p.stream = $1 AND f.at < ${nowMs} - $2`,
      [String(stream.id), String(stream.maxAgeMs)],
    );
    if (rows.length === 0) return;
    const readers = await this.#readers(stream);
    for (const [partition, before] of rows) {
      while (
        (await this.#trimOnce(stream.id, numberOf(partition), Number.MAX_SAFE_INTEGER, before ?? null, readers)) >=
        1_000
      )
        await this.#pause();
    }
  }

  /** What its group has handled of a queue, which nobody else will ever read; its ids are still recognised for a while. */
  async #sweepQueue(stream: StreamRow): Promise<void> {
    const handled = await this.#handled(stream);
    if (handled.size === 0) return;
    const [row] = await this.#session.desk.query(`SELECT ${nowMs} - $1`, [
      String(this.#session.options.dedupeWindowMs),
    ]);
    const first = new Map(
      (await this.#streams.newest(stream.id)).map(({ partition, first: oldest }) => [partition, oldest]),
    );
    for (const [partition, seq] of handled) {
      if (seq < (first.get(partition) ?? 0)) continue;
      while ((await this.#trimOnce(stream.id, partition, seq, row?.[0] ?? null, { groups: [], patterns: [] })) >= 1_000)
        await this.#pause();
    }
  }

  async #trimOnce(
    stream: number,
    partition: number,
    upTo: number,
    before: string | null,
    { groups, patterns }: Readers,
  ): Promise<number> {
    const [row] = await this.#session.desk.query("SELECT {1:trim}($1, $2, $3, $4, $5, $6)", [
      String(stream),
      String(partition),
      String(upTo),
      before,
      arrayOf(groups),
      textArrayOf(patterns),
    ]);
    return Number(row?.[0] ?? 0);
  }

  /** By partition, what every group has handled; one that had no member for long holds nothing back. */
  async #handled(stream: StreamRow): Promise<ReadonlyMap<number, number>> {
    const rows = await this.#session.desk.query(
      `SELECT f.o_partition, min(f.o_floor) FROM {1:floors}($1, NULL) f JOIN {grp} g ON g.id = f.o_grp
        WHERE g.idle_since > ${nowMs} - $2 OR EXISTS (SELECT FROM {member} m WHERE m.grp = g.id) GROUP BY f.o_partition`,
      [String(stream.id), String(stream.idleGroupMs)],
    );
    return new Map(rows.map(([partition, floor]) => [numberOf(partition), numberOf(floor)]));
  }

  async #readers(stream: StreamRow): Promise<Readers> {
    const readers: Readers = { groups: [], patterns: [] };
    for (const { id, spec } of await this.#definitions.all()) {
      const patterns = spec.reads.find((read) => !stream.queue && read.stream === stream.name)?.patterns;
      if (patterns === undefined) continue;
      readers.groups.push(id);
      readers.patterns.push(regexOf(patterns));
    }
    return readers;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#session.clock.after(pauseMs, resolve));
  }
}
