import type { GroupSpec, Sink } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Definitions } from "./definitions.ts";
import { regexOf } from "./pattern-regex.ts";
import type { Seats } from "./seats.ts";
import type { Session } from "./session.ts";
import { partitionName, type StreamRow, type Streams } from "./streams.ts";

/** What members of groups work with. */
export interface GroupContext {
  readonly session: Session;
  readonly streams: Streams;
  readonly definitions: Definitions;
  readonly seats: Seats;
}

export const groupDeleted = (): DriverError => new DriverError("BUS_NOT_FOUND", "postgres: the group was deleted");

/** A group's definition as a member knows it: which streams it reads, and by which patterns. */
export class GroupView {
  readonly #context: GroupContext;
  readonly #group: number;
  version = 0;
  /** By the stream's number, with its queue; null: all. */
  readonly patterns: Map<number, string | null> = new Map();
  readonly #names = new Map<number, { readonly row: StreamRow; readonly names: readonly string[] }>();

  constructor(context: GroupContext, group: number) {
    this.#context = context;
    this.#group = group;
  }

  #missed = false;

  /** Asks for the definition as it is now; undefined: it is gone. The member knows it from then on. */
  async refresh(seat: number): Promise<GroupSpec | undefined> {
    const { definitions, streams, session } = this.#context;
    const found = await definitions.byId(this.#group);
    if (found === undefined) return undefined;
    const all = await streams.all();
    const former = new Map(
      [...this.patterns.keys()]
        .map((id) => this.#names.get(id)!.row)
        .filter(({ queue }) => !queue)
        .map(({ name, id }) => [name, id]),
    );
    this.patterns.clear();
    for (const row of all) {
      const patterns = row.queue
        ? row.name === found.spec.group
          ? [">"]
          : undefined
        : found.spec.reads.find(({ stream }) => stream === row.name)?.patterns;
      if (patterns === undefined) continue;
      this.patterns.set(row.id, regexOf(patterns));
      if (!row.queue && (former.get(row.name) ?? row.id) !== row.id) this.#missed = true;
      const names = Array.from({ length: row.partitions }, (_, partition) => partitionName(row, partition));
      this.#names.set(row.id, { row, names });
    }
    this.version = found.version;
    await session.worker.query("UPDATE {member} SET version = $1 WHERE id = $2 AND version < $1", [
      String(found.version),
      String(seat),
    ]);
    return found.spec;
  }

  /** A stream was made anew under its name: what the group had not read of the former one is gone. */
  sayMissed(sink: Sink): void {
    if (this.#missed) sink.lost(undefined, "its stream was deleted, and made anew");
    this.#missed = false;
  }

  name(stream: number, partition: number): string {
    return this.#names.get(stream)?.names[partition] ?? `${stream}/${partition}`;
  }

  lane(stream: number): "stream" | "queue" {
    return this.#names.get(stream)?.row.queue === true ? "queue" : "stream";
  }

  /** The other way. */
  place(partition: string): readonly [stream: number, partition: number] | undefined {
    for (const [stream, { names }] of this.#names) {
      const at = names.indexOf(partition);
      if (at >= 0) return [stream, at];
    }
    return undefined;
  }
}
