import type { Clock } from "../../clock.ts";
import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Database } from "./database.ts";
import { Delayed, type DelayedRow } from "./delayed.ts";
import { encodeHeaders } from "./headers.ts";
import type { Retention } from "./retention.ts";
import { Seen } from "./seen.ts";
import type { StreamRow, Streams } from "./streams.ts";
import type { Job } from "./turn.ts";

/** Stored before, and where; what is still delayed is nowhere yet. */
interface Duplicate {
  readonly position: string | undefined;
}
/** Its number, or 0 for what is delayed; a duplicate; why it was refused. */
type Outcome = number | Duplicate | DriverError;

/** SQLite's own bound on a value, less what stands beside the body in its row. */
export const maxMessageBytes = 1_000_000_000 - 1_048_576;
const dueAtOnce = 500;

/**
 * Everything that was published in one turn, as one job: the rows, the notes against duplicates and the streams' counters. When
 * a message is refused the later ones of its key are too, so that order holds among those that are stored.
 */
export class Append implements Job {
  readonly #clock: Clock;
  readonly #streams: Streams;
  readonly #retention: Retention;
  readonly #seen: Seen;
  readonly delayed: Delayed;
  readonly #appended: () => void;
  #waiting: OutMessage[] = [];
  #batch: OutMessage[] = [];
  #outcomes: Outcome[] = [];

  constructor(database: Database, clock: Clock, streams: Streams, retention: Retention, appended: () => void) {
    this.#clock = clock;
    this.#streams = streams;
    this.#retention = retention;
    this.#seen = new Seen(database);
    this.delayed = new Delayed(database);
    this.#appended = appended;
  }

  push(message: OutMessage): void {
    this.#waiting.push(message);
  }

  run(): void {
    if (this.#waiting.length > 0) {
      this.#batch = this.#batch.length === 0 ? this.#waiting : [...this.#batch, ...this.#waiting];
      this.#waiting = [];
    }
    const now = this.#clock.now();
    const open = new Map<string, StreamRow | DriverError>();
    const refused = new Map<string, DriverError>();
    this.#outcomes = [];
    this.#seen.enter(now);
    for (const message of this.#batch) {
      const { to } = message;
      const lane = to.kind === "queue" ? `q${to.group}` : `s${to.kind === "topic" ? to.stream : ""}`;
      let stream = open.get(lane);
      if (stream === undefined) open.set(lane, (stream = this.#open(message)));
      let outcome: Outcome;
      if (stream instanceof DriverError) outcome = stream;
      else {
        const before =
          refused.size === 0 || message.key === undefined ? undefined : refused.get(`${lane}\n${message.key}`);
        outcome = before ?? this.#store(stream, message, now);
      }
      if (outcome instanceof DriverError && message.key !== undefined) refused.set(`${lane}\n${message.key}`, outcome);
      this.#outcomes.push(outcome);
    }
    for (const stream of open.values()) if (!(stream instanceof DriverError)) this.#streams.save(stream);
  }

  committed(): void {
    const batch = this.#batch;
    const outcomes = this.#outcomes;
    this.#batch = [];
    this.#appended();
    for (let index = 0; index < batch.length; index += 1) {
      const outcome = outcomes[index]!;
      const message = batch[index]!;
      if (typeof outcome === "number") message.stored(outcome === 0 ? undefined : String(outcome));
      else if (outcome instanceof DriverError) message.failed("no", outcome);
      else message.stored(outcome.position, true);
    }
  }

  failed(error: unknown, stored: "no" | "unknown"): void {
    const batch = [...this.#batch, ...this.#waiting];
    this.#batch = [];
    this.#waiting = [];
    for (const message of batch) message.failed(stored, error);
  }

  /** Puts what is due into the logs; true when there may be more. What a full stream refuses stays for the next time. */
  moveDue(now: number): boolean {
    const rows = this.delayed.due(now, dueAtOnce);
    const open = new Map<number, StreamRow | undefined>();
    let moved = 0;
    for (const row of rows) {
      if (!open.has(row.stream)) open.set(row.stream, this.#streams.byId(row.stream));
      const stream = open.get(row.stream);
      if (stream !== undefined && this.#retention.room(stream, row.body.byteLength, now) !== undefined) continue;
      if (stream !== undefined) this.#write(stream, row, now);
      this.delayed.remove(row.id);
      moved += 1;
    }
    for (const stream of open.values()) if (stream !== undefined) this.#streams.save(stream);
    return moved === dueAtOnce;
  }

  #open({ to }: OutMessage): StreamRow | DriverError {
    if (to.kind === "queue") return this.#streams.makeQueue(to.group);
    const name = to.kind === "topic" ? to.stream : "";
    return this.#streams.named(name) ?? new DriverError("BUS_NOT_FOUND", `sqlite: there is no stream "${name}"`);
  }

  #store(stream: StreamRow, message: OutMessage, now: number): Outcome {
    const { body, key = null, notBefore } = message;
    if (body.byteLength > maxMessageBytes)
      return new DriverError(
        "BUS_TOO_LARGE",
        `sqlite: a message of ${body.byteLength} bytes; the most is ${maxMessageBytes}`,
      );
    const later = notBefore !== undefined && notBefore > now;
    const full = later ? undefined : this.#retention.room(stream, body.byteLength, now);
    if (full !== undefined) return duplicate(this.#seen.find(message.brokerId, stream.id)) ?? full;
    const before = this.#seen.note(message.brokerId, stream.id, later ? 0 : stream.last + 1);
    if (before !== undefined) return duplicate(before)!;
    const partition = message.hash % stream.partitions;
    const row = {
      partition,
      topic: message.to.kind === "inbox" ? "" : message.to.topic,
      key,
      event: message.id,
      expires: message.expiresAt ?? null,
      headers: encodeHeaders(message.headers),
      body,
    };
    if (!later) return this.#write(stream, row, now);
    this.delayed.add(notBefore, stream.id, partition, row.topic, key, row.event, row.expires, row.headers, body);
    return 0;
  }

  #write(stream: StreamRow, row: Omit<DelayedRow, "id" | "due" | "stream">, now: number): number {
    const { partition, topic, key, event, expires, headers, body } = row;
    stream.last += 1;
    stream.last_at = Math.max(stream.last_at, now);
    stream.bytes += body.byteLength;
    stream.largest = Math.max(stream.largest, body.byteLength);
    this.#streams
      .log(stream.id)
      .append(stream.last, stream.last_at, partition, topic, key, event, expires, headers, body);
    return stream.last;
  }
}

function duplicate(seq: number | undefined): Duplicate | undefined {
  return seq === undefined ? undefined : { position: seq === 0 ? undefined : String(seq) };
}
