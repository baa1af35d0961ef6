import type { GroupSpec, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { changedSpec, grownSpec, newSpec } from "../../internal/group-spec.ts";
import { Lanes } from "./lanes.ts";
import type { Link, Row } from "./link.ts";
import type { Session } from "./session.ts";
import { before, partitionName, type StreamRow, type Streams } from "./streams.ts";
import { arrayOf, numberOf } from "./values.ts";

export interface GroupRow {
  readonly id: number;
  readonly version: number;
  readonly roster: number;
  readonly spec: GroupSpec;
}

const columns = "id, version, roster, name, reads, origin, keeps, live";
const lookEveryMs = 20;

interface Starts {
  readonly streams: number[];
  readonly parts: number[];
  readonly seqs: number[];
}

/** Groups' definitions, changed by compare-and-set, and where they start. */
export class Definitions {
  readonly #session: Session;
  readonly #streams: Streams;
  readonly #desk: Link;

  constructor(session: Session, streams: Streams) {
    this.#session = session;
    this.#streams = streams;
    this.#desk = session.desk;
  }

  async named(name: string): Promise<GroupRow | undefined> {
    const [row] = await this.#desk.query(`SELECT ${columns} FROM {grp} WHERE name = $1`, [name]);
    return row === undefined ? undefined : groupOf(row);
  }

  async byId(id: number): Promise<GroupRow | undefined> {
    const [row] = await this.#desk.query(`SELECT ${columns} FROM {grp} WHERE id = $1`, [String(id)]);
    return row === undefined ? undefined : groupOf(row);
  }

  async existing(name: string): Promise<GroupRow> {
    const found = await this.named(name);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `postgres: there is no group "${name}"`);
    return found;
  }

  async all(): Promise<readonly GroupRow[]> {
    return (await this.#desk.query(`SELECT ${columns} FROM {grp} ORDER BY name`)).map(groupOf);
  }

  /** Makes it, or lets what is stored grow by what is new. */
  async ensure(spec: GroupSpec): Promise<GroupSpec> {
    for (;;) {
      const found = await this.named(spec.group);
      const wanted = found === undefined ? newSpec(spec) : grownSpec(found.spec, spec);
      if (wanted === undefined) return found!.spec;
      const version = await this.#write(found, wanted, found === undefined ? wanted.from : { at: "oldest" });
      if (version === undefined) continue; // another was first
      if (found !== undefined) await this.#allKnow(found.id, version);
      return wanted;
    }
  }

  /** Also takes patterns away. */
  async update(name: string, reads: GroupSpec["reads"]): Promise<void> {
    for (;;) {
      const found = await this.existing(name);
      const version = await this.#write(found, changedSpec(found.spec, reads), { at: "oldest" });
      if (version !== undefined) return await this.#allKnow(found.id, version);
    }
  }

  async reset(name: string, to: StartAt): Promise<void> {
    const found = await this.existing(name);
    const starts = await this.#starts(
      found.spec.reads.map(({ stream }) => stream),
      to,
      name,
    );
    await this.#start(found.id, starts, false);
    this.#session.announce("g", found.id);
  }

  /** Back to before a member's oldest unsettled, if the group was made anew since and starts later than that. */
  async resume(group: GroupRow, positions: ReadonlyMap<string, string>): Promise<void> {
    const from: StartAt = { positions: Object.fromEntries(positions) };
    const starts = await this.#starts(
      group.spec.reads.map(({ stream }) => stream),
      from,
      group.spec.group,
    );
    await this.#start(group.id, starts, true);
  }

  async #start(group: number, { streams, parts, seqs }: Starts, onlyBack: boolean): Promise<void> {
    await this.#desk.query("SELECT {1:start}($1, $2, $3, $4, $5)", [
      String(group),
      arrayOf(streams),
      arrayOf(parts),
      arrayOf(seqs),
      String(onlyBack),
    ]);
  }

  /** The new version; undefined when another one changed it meanwhile. A stream that it did not read before starts at `from`. */
  async #write(found: GroupRow | undefined, spec: GroupSpec, from: StartAt): Promise<number | undefined> {
    const before_ = found?.spec.reads.map(({ stream }) => stream) ?? [];
    const now = spec.reads.map(({ stream }) => stream);
    const starts = await this.#starts(
      now.filter((stream) => !before_.includes(stream)),
      from,
      spec.group,
    );
    if (found === undefined) {
      const queue = await new Lanes(this.#session.names).find(this.#desk, spec.group, true);
      for (let partition = 0; partition < queue!.partitions; partition += 1) add(starts, queue!.id, partition, 0);
    }
    const all = await this.#streams.all();
    const dropped = before_
      .filter((stream) => !now.includes(stream))
      .flatMap((stream) => all.find(({ queue, name }) => !queue && name === stream)?.id ?? []);
    const [row] = await this.#desk.query("SELECT * FROM {1:define}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", [
      spec.group,
      String(found?.version ?? 0),
      JSON.stringify(spec.reads),
      JSON.stringify(spec.from),
      spec.order ?? "group",
      String(spec.live),
      arrayOf(starts.streams),
      arrayOf(starts.parts),
      arrayOf(starts.seqs),
      arrayOf(dropped),
    ]);
    if (row === undefined) return undefined;
    this.#session.announce("g", row[0] ?? "");
    return numberOf(row[1]);
  }

  async #starts(names: readonly string[], from: StartAt, group: string): Promise<Starts> {
    const starts: Starts = { streams: [], parts: [], seqs: [] };
    for (const name of names) {
      const stream = await this.#streams.named(name);
      if (stream === undefined)
        throw new DriverError(
          "BUS_NOT_FOUND",
          `postgres: group "${group}" reads the stream "${name}", which does not exist`,
        );
      for (const [partition, seq] of await startsOf(this.#session, this.#streams, stream, from))
        add(starts, stream.id, partition, seq);
    }
    return starts;
  }

  /** Resolves when every member has seen this version of the group's definition, or is gone. */
  async #allKnow(group: number, version: number): Promise<void> {
    for (;;) {
      const rows = await this.#desk.query("SELECT 1 FROM {member} WHERE grp = $1 AND version < $2 LIMIT 1", [
        String(group),
        String(version),
      ]);
      if (rows.length === 0) return;
      await new Promise<void>((resolve) => void this.#session.clock.after(lookEveryMs, resolve));
    }
  }
}

/** By partition; what is up to and including it is left out. A position that the log has not reached is of another database: then the oldest, never now. */
export async function startsOf(
  session: Session,
  streams: Streams,
  stream: StreamRow,
  from: StartAt,
): Promise<ReadonlyMap<number, number>> {
  if ("time" in from) return await before(session.desk, stream.id, from.time);
  const starts = new Map<number, number>();
  for (const { partition, first, last } of await streams.newest(stream.id)) {
    const oldest = first - 1;
    if ("at" in from) starts.set(partition, from.at === "oldest" ? oldest : last);
    else {
      const seq = Number(from.positions[partitionName(stream, partition)] ?? Number.NaN);
      if (seq > last && session.promoted) {
        starts.set(partition, last);
        continue;
      }
      starts.set(partition, Number.isSafeInteger(seq) && seq >= oldest && seq <= last ? seq : oldest);
    }
  }
  return starts;
}

function add({ streams, parts, seqs }: Starts, stream: number, partition: number, seq: number): void {
  streams.push(stream);
  parts.push(partition);
  seqs.push(seq);
}

function groupOf([id, version, roster, name, reads, origin, keeps, live]: Row): GroupRow {
  return {
    id: numberOf(id),
    version: numberOf(version),
    roster: numberOf(roster),
    spec: {
      group: name ?? "",
      reads: JSON.parse(reads ?? "[]") as GroupSpec["reads"],
      from: JSON.parse(origin ?? "{}") as StartAt,
      order: keeps as GroupSpec["order"],
      live: live === "t",
    },
  };
}
