import type { GroupSpec } from "../../driver.ts";
import type { Query } from "./database.ts";
import type { GroupRow } from "./group-store.ts";
import type { Part } from "../../internal/rows/part.ts";
import { ReadRound, type Share } from "./read-round.ts";
import type { Store } from "./store.ts";
import type { StreamRow } from "./streams.ts";
import { TopicFilter } from "./topic-filter.ts";

const scanAtOnce = 20_000;
const mostAtOnce = 2_000;

/** Reads the partitions that a member owns, those that stand at the same place together. */
export class PartReader {
  readonly #store: Store;
  readonly #group: number;
  readonly #lasts: Query<{ readonly last: number }>;
  #filters = new Map<number, TopicFilter>();
  /** What the filters are made from. A version would not do: one that was rolled back comes again. */
  #built = "";
  /** Of the definition as the core knows it. */
  version: number;

  constructor(store: Store, group: number, version: number) {
    this.#store = store;
    this.#group = group;
    this.version = version;
    this.#lasts = store.database.query("SELECT last FROM {stream} WHERE id = ?");
  }

  /** The definition is another one than the core knows, or gone. A look without a lock. */
  moved(): boolean {
    return this.#store.groups.byId(this.#group)?.version !== this.version;
  }

  /** A look without a lock. */
  anything(parts: Iterable<Part>): boolean {
    const lasts = new Map<number, number>();
    for (const { stream, next, open } of parts) {
      if (!open) continue;
      let last = lasts.get(stream);
      if (last === undefined) lasts.set(stream, (last = this.#lasts.get(stream)?.last ?? 0));
      if (next < last) return true;
    }
    return false;
  }

  /** Within the transaction; the definition when it moved. */
  refresh(group: GroupRow, member: number): GroupSpec | undefined {
    if (group.reads !== this.#built) this.#build(group);
    if (group.version === this.version) return undefined;
    this.#store.members.knows(member, group.version);
    return this.#store.groups.spec(group);
  }

  read(parts: readonly Part[], member: number, messages: number, bytes: number): ReadRound {
    const round = new ReadRound(Math.min(messages, mostAtOnce), bytes, this.#store.clock.now());
    const streams = new Map<number, Part[]>();
    for (const part of parts) {
      if (!part.open) continue;
      const others = streams.get(part.stream);
      if (others === undefined) streams.set(part.stream, [part]);
      else others.push(part);
    }
    for (const [id, those] of streams) {
      const stream = round.full ? undefined : this.#store.streams.byId(id);
      if (stream !== undefined) this.#readStream(stream, those, round);
    }
    for (const { part, out } of round.shares)
      if (out > 0 && !this.#store.own.handOut(this.#group, member, part, out)) round.drop(part);
    return round;
  }

  #build(group: GroupRow): void {
    this.#filters = new Map();
    for (const { stream, patterns } of this.#store.groups.spec(group).reads) {
      const row = this.#store.streams.named(stream);
      if (row !== undefined) this.#filters.set(row.id, new TopicFilter(patterns));
    }
    const queue = this.#store.streams.queueOf(group.name);
    if (queue !== undefined) this.#filters.set(queue.id, new TopicFilter([">"]));
    this.#built = group.reads;
  }

  #readStream(stream: StreamRow, parts: readonly Part[], round: ReadRound): void {
    const filter = this.#filters.get(stream.id);
    if (filter === undefined) return;
    const places = new Map<number, Part[]>();
    for (const part of parts) {
      if (part.next >= stream.last) continue;
      const others = places.get(part.next);
      if (others === undefined) places.set(part.next, [part]);
      else others.push(part);
    }
    const starts = [...places.keys()].toSorted((a, b) => a - b);
    for (const [index, start] of starts.entries()) {
      if (round.full) return;
      // Those behind come up to those before them, and are then read together with them.
      const upper = Math.min(starts[index + 1] ?? stream.last, stream.last, start + scanAtOnce);
      this.#readRun(stream, places.get(start)!, start, upper, filter, round);
      if (upper < stream.last) round.more = true;
    }
  }

  #readRun(
    stream: StreamRow,
    parts: readonly Part[],
    start: number,
    upper: number,
    filter: TopicFilter,
    round: ReadRound,
  ): void {
    const shares: Share[] = []; // by their partition's number
    for (const part of parts) shares[part.number] = round.share(part);
    const some = parts.length === stream.partitions ? undefined : parts.map(({ number }) => number);
    const { rows, complete } = this.#store.streams
      .log(stream.id)
      .read(stream, start, upper, round.messages, round.bytes, filter.globs, some);
    let reached = start;
    for (const row of rows) {
      if (round.full) break;
      const share = shares[row.partition]!;
      reached = row.seq;
      if (share.stopped) continue;
      if (share.part.outstanding + share.taken >= share.part.most) {
        share.stopped = true;
        share.reached = row.seq - 1;
        continue;
      }
      round.take(stream, share, row, filter.matches(row.topic));
    }
    if (reached === (rows.at(-1)?.seq ?? start)) {
      if (complete) reached = upper;
      else round.more = true;
    }
    for (const part of parts) {
      const share = shares[part.number]!;
      if (!share.stopped) share.reached = reached;
    }
  }
}
