import type { GroupState } from "../../driver.ts";
import { matchesPattern } from "../../internal/topic-trie.ts";
import type { Api } from "./api.ts";
import type { NativeConsumer } from "./api-types.ts";
import type { Bucket, BucketEntry } from "./bucket.ts";
import { countMatching, matching } from "./count-matching.ts";
import { delayedKeys, dueOf } from "./delayed.ts";
import { type GroupDefinition, specOf } from "./group-plan.ts";
import { type GroupReader, readersOf } from "./group-readers.ts";
import { readHeaders } from "./headers.ts";
import type { Members } from "./members.ts";
import { decodeToken } from "./names.ts";
import { nothingBetween } from "./nothing-between.ts";
import { readAll } from "./reader.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

interface Parts {
  readonly session: Session;
  readonly api: Api;
  readonly bucket: Bucket;
  readonly streams: Streams;
  readonly members: Members;
}

interface Counts {
  readonly waiting: number;
  readonly inFlight: number;
  /** When the oldest of those that wait was stored. */
  readonly oldest: number | undefined;
}

/** A message that waits in the bucket for its time. */
interface Later {
  readonly lane: "s" | "q";
  /** The stream or the group. */
  readonly place: string;
  readonly topic: string;
  readonly due: number;
}

/** What groups have before them and in their members' hands, as their consumers and the streams say. */
export class GroupStates {
  readonly #parts: Parts;
  readonly #later: readonly Later[];

  private constructor(parts: Parts, later: readonly Later[]) {
    this.#parts = parts;
    this.#later = later;
  }

  static async read(parts: Parts): Promise<GroupStates> {
    const entries = await parts.bucket.list(delayedKeys.all, true);
    return new GroupStates(parts, entries.flatMap(laterOf));
  }

  async of(definition: GroupDefinition): Promise<GroupState> {
    const { clock } = this.#parts.session;
    const readers = await readersOf(this.#parts, definition);
    const counts = await Promise.all(readers.map((reader) => this.#counts(reader)));
    const inFlight = sum(counts.map((each) => each.inFlight));
    const now = clock.now();
    const later = this.#later.filter((each) => reads(definition, each));
    const due = later.filter((each) => each.due > now).length;
    const returned = inFlight === 0 ? 0 : await this.#returned(definition, now);
    // without a member nothing is in anybody's hands, whatever the server still counts there until its ack wait is over
    const held =
      this.#parts.members.seats(definition.group, definition.first).length > 0 ? Math.max(inFlight - returned, 0) : 0;
    const oldest = Math.min(...counts.map((each) => each.oldest ?? Number.POSITIVE_INFINITY));
    return {
      spec: specOf(definition),
      waiting: sum(counts.map((each) => each.waiting)) + Math.max(inFlight, returned) - held + later.length,
      inFlight: held,
      scheduled: returned + due,
      oldestWaitingMs: Number.isFinite(oldest) ? Math.max(now - oldest, 0) : undefined,
    };
  }

  async #counts(reader: GroupReader): Promise<Counts> {
    const { native, consumer, filters, start, end } = reader;
    const info = consumer === undefined ? undefined : await this.#parts.api.consumerInfo(native, consumer);
    let from: number;
    let waiting: number;
    if (info === undefined && reader.stream === undefined) {
      from = 1;
      waiting = await this.#queued(filters[0]!);
    } else if (info === undefined) {
      const found = await matching(this.#parts, native, filters, start);
      from = "time" in start ? found.before + 1 : start.sequence;
      waiting = found.count - sum(reader.done.map(([first, last]) => last - first + 1));
    } else {
      from = info.delivered.stream_seq + 1;
      waiting = info.num_pending > 0 ? info.num_pending : await this.#uncounted(reader, info, from);
    }
    // what another one hands out is counted there
    if (end !== undefined && waiting > 0)
      waiting -= await countMatching(this.#parts, native, filters, Math.max(end, from));
    const inFlight = info?.num_ack_pending ?? 0;
    if (waiting <= 0) return { waiting: 0, inFlight, oldest: undefined };
    return { waiting, inFlight, oldest: await this.#storedAt(native, filters, from) };
  }

  /** Stored a moment ago: its consumer may not know of it yet. */
  async #uncounted(
    { native, stream, filters }: GroupReader,
    { num_ack_pending: inFlight }: NativeConsumer,
    from: number,
  ): Promise<number> {
    if (await nothingBetween(this.#parts.api, native, filters, from, Number.MAX_SAFE_INTEGER)) return 0;
    if (stream === undefined) return Math.max((await this.#queued(filters[0]!)) - inFlight, 0);
    return await countMatching(this.#parts, native, filters, from);
  }

  async #storedAt(native: string, filters: readonly string[], seq: number): Promise<number | undefined> {
    const { session, api } = this.#parts;
    if (filters.length === 1) return (await api.message(native, { seq, next_by_subj: filters[0]! }))?.timeMs;
    const [first] = await readAll(session, api, { stream: native, filters, start: { seq }, headersOnly: true }, 1);
    return first?.delivery.timeMs;
  }

  /** Given back for later: the server counts them among those in hand. */
  async #returned({ group }: GroupDefinition, now: number): Promise<number> {
    const { session, api } = this.#parts;
    const filters = [session.names.noteFilter(group)];
    const source = { stream: session.names.notes, filters, start: { seq: 1 }, headersOnly: true };
    const notes = await readAll(session, api, source);
    return notes.filter(({ raw }) => dueOf({ headers: readHeaders(raw) }) > now).length;
  }

  /** A work queue lets nobody look but its groups; it lists its subjects, of which there are few. */
  async #queued(filter: string): Promise<number> {
    const { session, api } = this.#parts;
    const info = await api.streamInfo(session.names.queue, { subjects_filter: filter });
    return sum(Object.values(info?.state.subjects ?? {}));
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

function laterOf(entry: BucketEntry): readonly Later[] {
  const [, lane, place = "", , token = ""] = entry.key.split(".");
  const topic = decodeToken(token);
  if ((lane !== "s" && lane !== "q") || topic === undefined) return [];
  return [{ lane, place, topic, due: dueOf(entry) }];
}

function reads({ group, reads: all }: GroupDefinition, { lane, place, topic }: Later): boolean {
  if (lane === "q") return place === group;
  return all.some(({ stream, patterns }) => stream === place && patterns.some((each) => matchesPattern(each, topic)));
}
