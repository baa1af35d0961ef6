import type { GroupSpec } from "../../driver.ts";
import type { ClaimHandle } from "./claim-writer.ts";
import { Claim, isOpenIn } from "../../internal/rows/claim.ts";
import type { ClaimRow } from "./claim-store.ts";
import type { Query } from "./database.ts";
import type { GroupRow } from "./group-store.ts";
import type { HeldRow } from "./held-store.ts";
import type { LogRow } from "./log.ts";
import { RowMessage } from "../../internal/rows/message.ts";
import type { Store } from "./store.ts";
import { partitionName, type StreamRow } from "./streams.ts";
import { TopicFilter } from "./topic-filter.ts";

type Message = RowMessage<ClaimHandle>;
interface Source {
  readonly stream: number;
  readonly seq: number;
  readonly start: number;
  readonly skips: string | null;
  readonly lost: number;
}
/** Nothing up to there is wanted, as long as the group starts where it did. */
interface Passed {
  readonly start: number;
  readonly seq: number;
}
interface Loss {
  readonly count: number | undefined;
  readonly reason: string;
}

/** What one transaction claimed. */
export interface Claimed {
  readonly messages: Message[];
  readonly lost: Loss[];
  /** The definition moved: it is said before the messages are delivered. */
  spec: GroupSpec | undefined;
  version: number;
  gone: boolean;
  more: boolean;
  nextDue: number | undefined;
}

/** Rows that one transaction looks at, wanted or not. */
const scanAtOnce = 20_000;
/** Bits of a claim: where the wanted messages lie far apart, more claims are made instead. */
const widest = 8_192;
const mostAtOnce = 2_000;
/** A cursor that only passed what is not wanted is written after so many: others look for themselves meanwhile. */
const writeCursorEvery = 1_000;

/** Takes messages of an unordered group into one member's hands: what is due, what others left, then what is new. */
export class ClaimReader {
  readonly #store: Store;
  readonly #group: number;
  readonly #sources: Query<Source>;
  readonly #lost: Query<{ readonly lost: number }>;
  readonly #said: Query;
  readonly #setCursor: Query;
  readonly #raise: Query;
  readonly #returned: Query;
  readonly #passed = new Map<number, Passed>();
  readonly #names = new Map<number, readonly string[]>();
  #filters = new Map<number, TopicFilter>();
  /** What the filters are made from. A version would not do: one that was rolled back comes again. */
  #built = "";
  /** Of the definition as the core knows it. */
  version: number;

  constructor(store: Store, group: number, version: number) {
    const { database } = store;
    this.#store = store;
    this.#group = group;
    this.version = version;
    this.#sources = database.query(
      "SELECT stream, seq, start, skips, lost FROM {cursor} WHERE grp = ? AND (lost > 0 OR seq < (SELECT last FROM {stream} WHERE id = {cursor}.stream))",
    );
    this.#lost = database.query("SELECT lost FROM {cursor} WHERE grp = ? AND lost > 0");
    this.#said = database.query("UPDATE {cursor} SET lost = 0 WHERE grp = ? AND lost > 0");
    this.#setCursor = database.query("UPDATE {cursor} SET seq = ?, lost = 0 WHERE grp = ? AND stream = ?");
    this.#raise = database.query("UPDATE {cursor} SET seq = max(seq, ?) WHERE grp = ? AND stream = ? AND start = ?");
    this.#returned = database.query("SELECT 1 FROM {claim} WHERE grp = ? AND member IS NULL LIMIT 1");
  }

  /** Whether a claim would find something, as far as a look without a lock can tell. */
  anything(): boolean {
    const { held, clock, self } = this.#store;
    if (this.#returned.get(this.#group) !== undefined || held.anyDue(this.#group, clock.now(), self)) return true;
    return this.#sources.all(this.#group).some((source) => this.#anythingNew(source));
  }

  #anythingNew(source: Source): boolean {
    const stream = this.#store.streams.byId(source.stream);
    if (stream === undefined) return false;
    const from = this.#from(source);
    const filter = this.#filters.get(stream.id);
    if (from >= stream.last) return source.lost > 0;
    if (source.lost > 0 || filter?.globs === undefined) return true;
    const upper = Math.min(stream.last, from + scanAtOnce);
    const { rows } = this.#store.streams.log(stream.id).read(stream, from, upper, 1, 1, filter.globs);
    if (rows.length > 0) return true;
    this.#passed.set(stream.id, { start: source.start, seq: upper });
    return upper < stream.last;
  }

  /** Some cursors are behind what was passed. */
  get lagging(): boolean {
    return this.#passed.size > 0;
  }

  /** Within a transaction: retention wants to know that the group is past what it doesn't read. */
  writeCursors(): void {
    const passed = [...this.#passed];
    this.#passed.clear();
    if (this.#store.groups.byId(this.#group)?.reads !== this.#built) return;
    for (const [stream, { start, seq }] of passed) this.#raise.run(seq, this.#group, stream, start);
  }

  #from({ stream, start, seq }: Source): number {
    const passed = this.#passed.get(stream);
    return passed?.start === start ? Math.max(seq, passed.seq) : seq;
  }

  /** The definition is another one than the core knows, or gone. A look without a lock. */
  moved(): boolean {
    return this.#store.groups.byId(this.#group)?.version !== this.version;
  }

  /** Within the transaction. */
  claim(member: number, messages: number, bytes: number, paused: ReadonlySet<string>): Claimed {
    const claimed: Claimed = {
      messages: [],
      lost: [],
      spec: undefined,
      version: this.version,
      gone: false,
      more: false,
      nextDue: undefined,
    };
    const group = this.#store.groups.byId(this.#group);
    if (group === undefined) {
      claimed.gone = true;
      return claimed;
    }
    if (group.reads !== this.#built) this.#build(group);
    if (group.version !== this.version) {
      claimed.spec = this.#store.groups.spec(group);
      claimed.version = group.version;
      this.#store.members.knows(member, group.version);
    }
    const room = new Room(Math.min(messages, mostAtOnce), bytes);
    if (room.open) this.#claimDue(claimed, member, room);
    if (room.open) this.#claimLeft(claimed, member, room);
    if (room.open) this.#claimNew(claimed, member, room, paused);
    if (!room.open) {
      claimed.more = true;
      this.#takeLost(claimed); // said at once, however full we are
    }
    return claimed;
  }

  /** Retention dropped what nobody had yet. A look without a lock. */
  get anyLost(): boolean {
    return this.#lost.get(this.#group) !== undefined;
  }

  #takeLost(claimed: Claimed): void {
    const rows = this.#lost.all(this.#group);
    for (const { lost } of rows) lose(claimed, lost, "dropped by retention before it was handled");
    if (rows.length > 0) this.#said.run(this.#group);
  }

  #build(group: GroupRow): void {
    this.#filters = new Map();
    this.#passed.clear();
    for (const { stream, patterns } of this.#store.groups.spec(group).reads) {
      const row = this.#store.streams.named(stream);
      if (row !== undefined) this.#filters.set(row.id, new TopicFilter(patterns));
    }
    const queue = this.#store.streams.queueOf(group.name);
    if (queue !== undefined) this.#filters.set(queue.id, new TopicFilter([">"]));
    this.#built = group.reads;
  }

  #claimDue(claimed: Claimed, member: number, room: Room): void {
    const { held, clock, self } = this.#store;
    const now = clock.now();
    const rows = held.due(this.#group, now, self, room.messages);
    for (const row of rows) {
      const stream = this.#store.streams.byId(row.stream);
      const found = stream === undefined ? undefined : this.#store.streams.log(stream.id).one(row.seq);
      if (stream === undefined || found === undefined) {
        held.remove(this.#group, row.stream, row.seq, null);
        lose(claimed, 1, "dropped by retention before it was handled");
        continue;
      }
      held.claim(this.#group, row, member);
      claimed.messages.push(this.#held(stream, found, row));
      room.take(found.body.byteLength);
      if (!room.open) return;
    }
    claimed.nextDue = held.next(this.#group, now, self);
  }

  #held(stream: StreamRow, found: LogRow, row: HeldRow): Message {
    return new RowMessage<ClaimHandle>(
      found,
      { claim: undefined, stream: stream.id, avoid: row.avoid },
      laneOf(stream),
      this.#name(stream, found.partition),
      {
        deliveries: row.deliveries + 1,
        attempts: row.attempts,
        notBefore: row.avoid === null ? (row.not_before ?? undefined) : undefined,
        notes: row.headers,
      },
    );
  }

  #claimLeft(claimed: Claimed, member: number, room: Room): void {
    for (const row of this.#store.claims.free(this.#group, 64)) {
      if (!room.open) return;
      const stream = this.#store.streams.byId(row.stream);
      this.#store.claims.removeFree(row.id);
      if (stream === undefined) continue;
      const { rows, complete } = this.#store.streams
        .log(stream.id)
        .read(stream, row.low - 1, row.last, Math.max(64, room.messages * 2), room.bytes);
      const missing = openCount(row, row.low, Math.min(stream.first - 1, row.last));
      if (missing > 0) lose(claimed, missing, "dropped by retention before it was handled");
      const open = rows.filter(({ seq }) => isOpenIn(row, seq));
      // What does not fit, or was too large to be read at once, stays for the next claim as it was.
      const taken = open.slice(0, room.fitting(open));
      const all = taken.length === open.length;
      const upTo = all ? (complete ? row.last : rows.at(-1)!.seq) : taken.at(-1)!.seq;
      this.#hand(claimed, member, stream, taken, row.deliveries + 1);
      if (upTo < row.last && openCount(row, upTo + 1, row.last) > 0) {
        this.#leave(row, upTo + 1);
        claimed.more = true;
      }
      for (const each of taken) room.take(each.body.byteLength);
    }
  }

  /** The rest of a run goes back to where it was taken from. */
  #leave(row: ClaimRow, first: number): void {
    const rest = new Claim(row.stream, first, row.last, row.deliveries);
    for (let seq = first; seq <= row.last; seq += 1) if (isOpenIn(row, seq)) rest.open(seq);
    this.#store.claims.add(this.#group, rest, null);
  }

  #claimNew(claimed: Claimed, member: number, room: Room, paused: ReadonlySet<string>): void {
    for (const source of this.#sources.all(this.#group)) {
      if (!room.open) return;
      const stream = this.#store.streams.byId(source.stream);
      if (stream === undefined) continue;
      if (source.lost > 0) lose(claimed, source.lost, "dropped by retention before it was handled");
      const filter = this.#filters.get(stream.id);
      const from = this.#from(source);
      const upper = Math.min(stream.last, from + scanAtOnce);
      const skips = source.skips === null ? undefined : new Map(JSON.parse(source.skips) as [number, number][]);
      let seq = filter === undefined ? upper : from;
      let stopped = false;
      let any = false;
      while (filter !== undefined && room.open && seq < upper && !stopped) {
        const run = this.#store.streams
          .log(stream.id)
          .read(stream, seq, upper, room.messages, room.bytes, filter.globs);
        const chosen = this.#choose(claimed, stream, run.rows, filter, skips, room, paused);
        this.#hand(claimed, member, stream, chosen.taken, 1);
        any ||= chosen.taken.length > 0 || chosen.expired > 0;
        stopped = chosen.stopped;
        seq = stopped ? chosen.reached : run.complete ? upper : chosen.reached;
      }
      if (seq < stream.last && !stopped) claimed.more = true;
      if (any || source.lost > 0 || seq - source.seq >= writeCursorEvery)
        this.#setCursor.run(seq, this.#group, stream.id);
      else if (seq > from) this.#passed.set(stream.id, { start: source.start, seq });
    }
  }

  /** Those of the rows that are wanted, as many as there is room for. */
  #choose(
    claimed: Claimed,
    stream: StreamRow,
    rows: readonly LogRow[],
    filter: TopicFilter,
    skips: ReadonlyMap<number, number> | undefined,
    room: Room,
    paused: ReadonlySet<string>,
  ): { readonly reached: number; readonly taken: LogRow[]; readonly expired: number; readonly stopped: boolean } {
    const now = this.#store.clock.now();
    const taken: LogRow[] = [];
    let reached = (rows[0]?.seq ?? 1) - 1;
    let expired = 0;
    for (const row of rows) {
      if (!room.open || (paused.size > 0 && paused.has(this.#name(stream, row.partition)))) {
        if (expired > 0) lose(claimed, expired, "expired before it was handled");
        return { reached, taken, expired, stopped: true };
      }
      reached = row.seq;
      if (!filter.matches(row.topic) || (skips !== undefined && row.seq <= (skips.get(row.partition) ?? 0))) continue;
      if (row.expires !== null && row.expires <= now) {
        expired += 1;
        continue;
      }
      taken.push(row);
      room.take(row.body.byteLength);
    }
    if (expired > 0) lose(claimed, expired, "expired before it was handled");
    return { reached, taken, expired, stopped: false };
  }

  /** Writes the claims of these rows and makes messages of them. */
  #hand(claimed: Claimed, member: number, stream: StreamRow, rows: readonly LogRow[], deliveries: number): void {
    const lane = laneOf(stream);
    const place = { deliveries, attempts: 0, notBefore: undefined, notes: null };
    for (let from = 0; from < rows.length;) {
      const first = rows[from]!.seq;
      let to = from + 1;
      while (to < rows.length && rows[to]!.seq - first < widest) to += 1;
      const claim = new Claim(stream.id, first, rows[to - 1]!.seq, deliveries);
      for (let index = from; index < to; index += 1) {
        const row = rows[index]!;
        claim.open(row.seq);
        claimed.messages.push(
          new RowMessage<ClaimHandle>(
            row,
            { claim, stream: stream.id },
            lane,
            this.#name(stream, row.partition),
            place,
          ),
        );
      }
      claim.id = this.#store.claims.add(this.#group, claim, member);
      from = to;
    }
  }

  #name(stream: StreamRow, partition: number): string {
    let names = this.#names.get(stream.id);
    if (names === undefined)
      this.#names.set(
        stream.id,
        (names = Array.from({ length: stream.partitions }, (_, index) => partitionName(stream, index))),
      );
    return names[partition]!;
  }
}

/** How much may still be taken; bytes may be passed by one message. */
class Room {
  messages: number;
  bytes: number;

  constructor(messages: number, bytes: number) {
    this.messages = messages;
    this.bytes = bytes;
  }

  get open(): boolean {
    return this.messages > 0 && this.bytes > 0;
  }

  take(bytes: number): void {
    this.messages -= 1;
    this.bytes -= bytes;
  }

  /** How many of these, from the first on. */
  fitting(rows: readonly LogRow[]): number {
    let bytes = this.bytes;
    let count = 0;
    while (count < rows.length && count < this.messages && bytes > 0) bytes -= rows[count++]!.body.byteLength;
    return count;
  }
}

function laneOf(stream: StreamRow): "stream" | "queue" {
  return stream.queue === 1 ? "queue" : "stream";
}

function lose(claimed: Claimed, count: number, reason: string): void {
  const index = claimed.lost.findIndex((loss) => loss.reason === reason);
  if (index < 0) claimed.lost.push({ count, reason });
  else claimed.lost[index] = { count: (claimed.lost[index]!.count ?? 0) + count, reason };
}

function openCount(row: ClaimRow, from: number, to: number): number {
  let count = 0;
  for (let seq = Math.max(from, row.first); seq <= to; seq += 1) if (isOpenIn(row, seq)) count += 1;
  return count;
}
