import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { appending, Batch, messageValues, numbersOf } from "./batch.ts";
import { bytesArray, smallintArray, textArray } from "./binary-array.ts";
import { brokerKey } from "./broker-key.ts";
import { outcomeOf } from "./classify.ts";
import type { KnownLane, Lanes } from "./lanes.ts";
import type { Link } from "./link.ts";
import type { Names } from "./names.ts";
import { escapeText } from "./text-escape.ts";
import { stateOf } from "./sqlstate.ts";

export interface SenderOptions {
  readonly names: Pick<Names, "fill">;
  readonly lanes: Lanes;
  readonly dedupeWindowMs: number;
  readonly clock: { now(): number; ticks(): number };
  /** Something was appended to this stream; to these partitions, unless they are many. */
  readonly published?: (stream: number, partitions: readonly number[] | undefined) => void;
  /** Something is due then. */
  readonly delayed?: (time: number) => void;
  /** There is no such stream; true: now there is. */
  readonly missing?: (stream: string) => Promise<boolean>;
  /** Makes room in a stream; false: nothing can go. */
  readonly relieve?: (stream: number) => Promise<boolean>;
}

/** Tried again at once, so often. */
const conflicts: ReadonlySet<string> = new Set(["40001", "40P01", "55P03"]);
const mostConflicts = 3;
/** More are not told one by one. */
const mostNamed = 16;

/** What the server does not take, a limit of it, or what is there already: the others of a call may be stored all the same. */
const ofOneMessage = (state: string): boolean => ["22", "23", "54"].includes(state.slice(0, 2));

/**
 * Publishes to streams and queues. One call is under way at a time: behind one that is refused as a whole, since it holds a
 * duplicate or is more than there is room for, another would overtake it. What comes meanwhile is collected.
 */
export class Sender {
  readonly #link: Link;
  readonly #options: SenderOptions;
  #waiting: OutMessage[] = [];
  #running = false;
  #idle: (() => void)[] = [];

  constructor(link: Link, options: SenderOptions) {
    this.#link = link;
    this.#options = options;
  }

  send(batch: readonly OutMessage[]): void {
    this.#waiting.push(...batch);
    if (!this.#running) void this.#run();
  }

  /** Resolves when everything that was given is complete. */
  settled(): Promise<void> {
    return this.#running ? new Promise((resolve) => void this.#idle.push(resolve)) : Promise.resolve();
  }

  /** Completes everything, and never rejects. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0)
      for (const batch of await this.#batches(this.#waiting.splice(0))) await this.#store(batch);
    this.#running = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** By lane, in call order; within one lane what is for later goes apart. */
  async #batches(messages: readonly OutMessage[]): Promise<readonly Work[]> {
    const works: Work[] = [];
    const open = new Map<string, Work>();
    const refused = new Map<string, { readonly error: unknown }>();
    const now = this.#options.clock.now();
    for (const message of messages) {
      const { to, notBefore } = message;
      const name = nameOf(to);
      const later = notBefore !== undefined && notBefore > now;
      const key = `${to.kind} ${later} ${name}`;
      let work = open.get(key);
      if (work === undefined || work.batch.full) {
        const known = `${to.kind} ${name}`;
        const lane = refused.get(known) ?? (await this.#lane(name, to.kind === "queue"));
        if ("error" in lane) {
          refused.set(known, lane); // asked for once a turn: a pool that gives no client takes its time for each
          message.failed("no", lane.error);
          continue;
        }
        works.push((work = { batch: new Batch(lane), lane, later, seen: new Map(), again: [] }));
        open.set(key, work);
      }
      const first = work.seen.get(message.brokerId);
      if (first !== undefined) work.again.push([message, first]);
      else {
        work.seen.set(message.brokerId, work.batch.messages.length);
        work.batch.add(message);
      }
    }
    return works;
  }

  async #lane(name: string, isQueue: boolean): Promise<KnownLane | { readonly error: unknown }> {
    const { lanes } = this.#options;
    try {
      return lanes.known(name, isQueue) ?? (await this.#found(name, isQueue)) ?? { error: noStream(name) };
    } catch (error) {
      return { error }; // nothing was tried yet
    }
  }

  async #found(name: string, isQueue: boolean): Promise<KnownLane | undefined> {
    const { lanes, missing } = this.#options;
    const found = await lanes.find(this.#link, name, isQueue);
    if (found !== undefined || isQueue || (await missing?.(name)) !== true) return found;
    return await lanes.find(this.#link, name, false);
  }

  /** Of one that is gone: its group was deleted, and the queue is made anew; or somebody deleted a stream by hand. */
  async #again({ messages }: Batch): Promise<KnownLane | undefined> {
    this.#options.lanes.forget();
    const { to } = messages[0]!;
    return await this.#found(nameOf(to), to.kind === "queue").catch(() => undefined); // then it is what it was refused for
  }

  async #store(work: Work): Promise<void> {
    const { batch, lane, later } = work;
    const outcomes = await (later ? this.#delay(batch, lane) : this.#now(batch, lane));
    if (outcomes.some((outcome) => !("error" in outcome))) this.#stored(work);
    work.batch.messages.forEach((message, index) => complete(message, outcomes[index]!, false));
    for (const [message, index] of work.again) complete(message, outcomes[index]!, true);
  }

  #stored({ batch, lane, later }: Work): void {
    const { published, delayed } = this.#options;
    if (!later) return published?.(lane.id, batch.messages.length > mostNamed ? undefined : batch.partitions);
    for (const { notBefore } of batch.messages) if (notBefore !== undefined) delayed?.(notBefore);
  }

  /** What was for later, and has come to its time since its first try, may wait already, or be cancelled. */
  async #now(batch: Batch, lane: KnownLane): Promise<readonly Outcome[]> {
    if (batch.messages.every(({ notBefore }) => notBefore === undefined)) return this.#append(batch, lane);
    return this.#without(batch, lane, await this.#duplicates(batch), (rest) => this.#append(rest, lane));
  }

  /** One outcome for each message, in their order. */
  async #append(batch: Batch, lane: KnownLane, conflict = 0): Promise<readonly Outcome[]> {
    if (batch.messages.length === 0) return [];
    const { names, clock } = this.#options;
    const checked = lane.room.due(lane, clock.ticks());
    const { values, parts, numbers } = appending(batch, clock.now(), checked);
    try {
      const text = names.fill(`SELECT {1:append}(${values.map((_, at) => `$${at + 1}`).join(", ")})`);
      const [row] = await this.#link.query(text, values);
      const answer = numbersOf(row?.[0]);
      if (checked) lane.room.looked(lane, answer.at(-2) ?? 0, answer.at(-1) ?? 0, clock.ticks());
      return batch.messages.map((_, index) => ({
        position: String(answer[parts[index]!]! + numbers[index]!),
        duplicate: false,
      }));
    } catch (error) {
      return this.#refused(batch, lane, error, conflict);
    }
  }

  async #refused(batch: Batch, lane: KnownLane, error: unknown, conflict: number): Promise<readonly Outcome[]> {
    const state = stateOf(error);
    const stored = outcomeOf(error);
    if (stored === "no" && state !== undefined) {
      if (conflicts.has(state) && conflict < mostConflicts) return this.#append(batch, lane, conflict + 1);
      if (isDuplicate(error) && conflict < mostConflicts) {
        const known = await this.#duplicates(batch);
        const next = "error" in known || known.size > 0 ? 0 : conflict + 1; // its other may be gone again
        return this.#without(batch, lane, known, (rest) => this.#append(rest, lane, next));
      }
      if (state === "OM001") return this.#whenFull(batch, lane, error);
      if (state === "OM002") {
        const again = conflict < mostConflicts ? await this.#again(batch) : undefined;
        if (again !== undefined) return this.#append(new Batch(again, batch.messages), again, conflict + 1);
      } else if (ofOneMessage(state) && batch.messages.length > 1)
        return this.#oneByOne(batch, lane, (single) => this.#append(single, lane));
    }
    return batch.messages.map(() => ({ stored, error }));
  }

  /** One that the server can't take must not fail the others. */
  async #oneByOne(
    { messages }: Batch,
    lane: KnownLane,
    store: (single: Batch) => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    for (const message of messages) outcomes.push(...(await store(new Batch(lane, [message]))));
    return outcomes;
  }

  /** As many as there is room for, in call order, and more where room can be made; behind a refused one nothing is stored. */
  async #whenFull(batch: Batch, lane: KnownLane, error: unknown): Promise<readonly Outcome[]> {
    const { detail = "" } = error as { readonly detail?: string };
    const [messages = 0, bytes = 0] = detail.split(" ").map(Number);
    const count = batch.fitting(messages, bytes);
    if (count > 0) {
      const stored = await this.#append(new Batch(lane, batch.messages.slice(0, count)), lane);
      const refused = stored.find((outcome) => "error" in outcome);
      if (refused !== undefined) return [...stored, ...batch.messages.slice(count).map(() => refused)];
      return [...stored, ...(await this.#append(new Batch(lane, batch.messages.slice(count)), lane))];
    }
    const [first] = batch.messages;
    if (first!.body.byteLength > lane.maxBytes || lane.maxMessages === 0) {
      const what = `postgres: ${first!.body.byteLength} bytes are more than the stream may hold`;
      const rest = await this.#append(new Batch(lane, batch.messages.slice(1)), lane);
      return [{ stored: "no", error: new DriverError("BUS_TOO_LARGE", what) }, ...rest];
    }
    if (await this.#relieved(first!, lane)) return await this.#append(batch, lane);
    const full = new DriverError(
      "BUS_FULL",
      "postgres: the stream is full, and its groups have not handled the oldest",
      { retryable: true },
    );
    return batch.messages.map(() => ({ stored: "no" as const, error: full }));
  }

  async #relieved({ to }: OutMessage, lane: KnownLane): Promise<boolean> {
    try {
      return to.kind === "topic" && (await this.#options.relieve?.(lane.id)) === true;
    } catch {
      return false; // it is as full as it was
    }
  }

  async #delay(batch: Batch, lane: KnownLane, conflict = 0): Promise<readonly Outcome[]> {
    const { names, clock } = this.#options;
    return this.#without(batch, lane, await this.#duplicates(batch), async (rest) => {
      if (rest.messages.length === 0) return [];
      const now = clock.now();
      const delays = rest.messages.map(({ notBefore = 0 }) => Math.max(0, Math.ceil(notBefore - now)));
      const values = [
        String(lane.id),
        `{${delays.join(",")}}`,
        smallintArray(rest.messages.map((message) => rest.partitionOf(message))),
        ...messageValues(rest.messages, now),
        textArray(rest.messages.map(({ id }) => escapeText(id))),
      ];
      try {
        const inserted = await this.#link.query(names.fill(delayed), values);
        if (inserted.length === 0) {
          const again = conflict < mostConflicts ? await this.#again(rest) : undefined;
          if (again !== undefined) return await this.#delay(new Batch(again, rest.messages), again, conflict + 1);
          return rest.messages.map(({ to }) => ({ stored: "no" as const, error: noStream(nameOf(to)) }));
        }
        return rest.messages.map(() => ({ position: undefined, duplicate: false }));
      } catch (error) {
        const [stored, state = ""] = [outcomeOf(error), stateOf(error)];
        // the try before, unanswered, was stored meanwhile
        const again = stored === "no" && (conflicts.has(state) || isDuplicate(error));
        if (again && conflict < mostConflicts) return this.#delay(rest, lane, conflict + 1);
        if (stored === "no" && ofOneMessage(state) && rest.messages.length > 1)
          return this.#oneByOne(rest, lane, (single) => this.#delay(single, lane));
        return rest.messages.map(() => ({ stored, error }));
      }
    });
  }

  /** By index, where they are already; or why that is not known. */
  async #duplicates(batch: Batch): Promise<ReadonlyMap<number, string | undefined> | { readonly error: unknown }> {
    const { names, dedupeWindowMs } = this.#options;
    const keys = bytesArray(batch.messages.map(({ brokerId }) => brokerKey(brokerId)));
    try {
      const text = names.fill("SELECT at_index, at_seq FROM {1:find}($1, $2, $3)");
      const rows = await this.#link.query(text, [String(batch.lane.id), keys, String(dedupeWindowMs)]);
      return new Map(rows.map(([index, seq]) => [Number(index) - 1, seq ?? undefined]));
    } catch (error) {
      return { error };
    }
  }

  async #without(
    batch: Batch,
    lane: KnownLane,
    known: ReadonlyMap<number, string | undefined> | { readonly error: unknown },
    store: (rest: Batch) => Promise<readonly Outcome[]>,
  ): Promise<readonly Outcome[]> {
    if ("error" in known) return batch.messages.map(() => ({ stored: "no" as const, error: known.error }));
    const rest = new Batch(
      lane,
      batch.messages.filter((_, index) => !known.has(index)),
    );
    const stored = await store(rest);
    let next = 0;
    return batch.messages.map((_, index) =>
      known.has(index) ? { position: known.get(index), duplicate: true } : stored[next++]!,
    );
  }
}

const nameOf = (to: OutMessage["to"]): string =>
  to.kind === "topic" ? to.stream : to.kind === "queue" ? to.group : "";

/** No row: the lane is gone. */
const delayed = `INSERT INTO {delayed} (stream, due, partition, topic, key, headers, broker, expires, body, event)
  SELECT $1::int, ms + m.delay, m.partition, m.topic, m.key, m.headers, m.broker, ms + m.expires, m.body, m.event
  FROM (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) AS server,
    unnest($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[], $9::bytea[],
      $10::text[]) AS m(delay, partition, topic, key, headers, broker, expires, body, event)
  WHERE EXISTS (SELECT FROM {stream} WHERE id = $1::int AND NOT gone) RETURNING id`;

interface Work {
  readonly batch: Batch;
  readonly lane: KnownLane;
  /** Not to be seen yet. */
  readonly later: boolean;
  /** By `brokerId`, the index of the first. */
  readonly seen: Map<string, number>;
  /** Sent once more within the turn, with that index. */
  readonly again: (readonly [message: OutMessage, first: number])[];
}

type Outcome =
  | { readonly position: string | undefined; readonly duplicate: boolean }
  | { readonly stored: "no" | "unknown"; readonly error: unknown };

function complete(message: OutMessage, outcome: Outcome, again: boolean): void {
  if ("error" in outcome) message.failed(outcome.stored, outcome.error);
  else message.stored(outcome.position, outcome.duplicate || again);
}

/** Of the index against duplicates; any other that is unique would be a fault of ours. */
function isDuplicate(error: unknown): boolean {
  const { constraint } = error as { readonly constraint?: string };
  return stateOf(error) === "23505" && constraint?.endsWith("_once") === true;
}

function noStream(name: string): DriverError {
  return new DriverError("BUS_NOT_FOUND", `postgres: there is no stream "${name}"`);
}
