import type { GroupState } from "../../driver.ts";
import { isOpenIn } from "../../internal/rows/claim.ts";
import type { ClaimRow } from "./claim-store.ts";
import type { DelayedTopic } from "./delayed.ts";
import type { GroupRow } from "./group-store.ts";
import type { OwnRow } from "./own-store.ts";
import { decodeSequences } from "../../internal/rows/sequence-set.ts";
import type { Store } from "./store.ts";
import type { StreamRow } from "./streams.ts";
import { TopicFilter } from "./topic-filter.ts";

/** Rows looked at before the event loop goes on. */
const scanAtOnce = 10_000;

/** What a group has before it and in its members' hands, counted row by row where patterns decide. */
export class GroupCounts {
  readonly #store: Store;
  readonly #now: number;
  readonly #delayed: readonly DelayedTopic[];

  constructor(store: Store) {
    this.#store = store;
    this.#now = store.clock.now();
    this.#delayed = store.append.delayed.topics(this.#now);
  }

  async of(group: GroupRow): Promise<GroupState> {
    const spec = this.#store.groups.spec(group);
    const state = { spec, waiting: 0, inFlight: 0, scheduled: 0, oldestWaitingMs: undefined as number | undefined };
    let oldest = Number.POSITIVE_INFINITY;
    for (const stream of this.#store.streams.all()) {
      const patterns =
        stream.queue === 1
          ? stream.name === group.name
            ? [">"]
            : undefined
          : spec.reads.find((read) => read.stream === stream.name)?.patterns;
      if (patterns === undefined) continue;
      const filter = new TopicFilter(patterns);
      const counted =
        group.keeps === "group"
          ? await this.#ordered(group, stream, filter)
          : await this.#unordered(group, stream, filter);
      state.waiting += counted.waiting;
      state.inFlight += counted.inFlight;
      state.scheduled += counted.scheduled;
      oldest = Math.min(oldest, counted.oldest);
      for (const { stream: of, topic, count, later } of this.#delayed) {
        if (of !== stream.id || !filter.matches(topic)) continue;
        state.waiting += count;
        state.scheduled += later;
      }
    }
    return { ...state, oldestWaitingMs: Number.isFinite(oldest) ? Math.max(0, this.#now - oldest) : undefined };
  }

  async #unordered(group: GroupRow, stream: StreamRow, filter: TopicFilter): Promise<Counted> {
    const { database, streams } = this.#store;
    const cursor = database
      .query<{ readonly seq: number; readonly skips: string | null }>(
        "SELECT seq, skips FROM {cursor} WHERE grp = ? AND stream = ?",
      )
      .get(group.id, stream.id);
    const log = streams.log(stream.id);
    const skips = new Map(JSON.parse(cursor?.skips ?? "[]") as [number, number][]);
    const counted = await this.#scan(
      stream,
      cursor?.seq ?? stream.last,
      filter,
      (row) => row.seq > (skips.get(row.partition) ?? 0),
    );
    for (const row of database
      .query<ClaimRow & { readonly member: number | null }>("SELECT * FROM {claim} WHERE grp = ? AND stream = ?")
      .all(group.id, stream.id)) {
      for (let seq = row.low; seq <= row.last; seq += 1) {
        if (!isOpenIn(row, seq)) continue;
        if (row.member !== null) counted.inFlight += 1;
        else if (seq >= stream.first) counted.wait(log.at(seq));
      }
    }
    const held = database.query<{ readonly seq: number; readonly due: number; readonly member: number | null }>(
      "SELECT seq, due, member FROM {held} WHERE grp = ? AND stream = ?",
    );
    for (const { seq, due, member } of held.all(group.id, stream.id)) {
      if (member !== null) counted.inFlight += 1;
      else if (seq >= stream.first) {
        counted.wait(log.at(seq));
        if (due > this.#now) counted.scheduled += 1;
      }
    }
    return counted;
  }

  async #ordered(group: GroupRow, stream: StreamRow, filter: TopicFilter): Promise<Counted> {
    const rows = this.#store.own.all(group.id).filter((row) => row.stream === stream.id);
    const parts = new Map<number, { readonly row: OwnRow; readonly done: ReadonlySet<number> }>(
      rows.map((row) => [row.partition, { row, done: decodeSequences(row.cursor, row.done) }]),
    );
    const lowest = Math.min(stream.last, ...rows.map(({ cursor }) => cursor));
    return await this.#scan(stream, lowest, filter, ({ seq, partition }, counted) => {
      const part = parts.get(partition);
      if (part === undefined || seq <= part.row.cursor || part.done.has(seq)) return false;
      if (part.row.member === null || seq > part.row.out) return true;
      counted.inFlight += 1;
      return false;
    });
  }

  async #scan(
    stream: StreamRow,
    after: number,
    filter: TopicFilter,
    waits: (row: { readonly seq: number; readonly partition: number }, counted: Counted) => boolean,
  ): Promise<Counted> {
    const counted = new Counted();
    const log = this.#store.streams.log(stream.id);
    for (let from = Math.max(after, stream.first - 1); from < stream.last; from += scanAtOnce) {
      for (const row of log.outline(from, Math.min(from + scanAtOnce, stream.last))) {
        if (filter.matches(row.topic) && waits(row, counted))
          counted.wait(counted.waiting === 0 ? log.at(row.seq) : undefined);
      }
      if (from + scanAtOnce < stream.last) await new Promise<void>((resolve) => this.#store.clock.soon(resolve));
    }
    return counted;
  }
}

class Counted {
  waiting = 0;
  inFlight = 0;
  scheduled = 0;
  oldest = Number.POSITIVE_INFINITY;

  wait(at: number | undefined): void {
    this.waiting += 1;
    if (at !== undefined) this.oldest = Math.min(this.oldest, at);
  }
}
