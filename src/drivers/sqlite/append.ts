import type { Clock } from "../../clock.ts";
import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { isFull } from "./classify.ts";
import type { Database } from "./database.ts";
import { Delayed, type DelayedRow } from "./delayed.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { Retention } from "./retention.ts";
import { Seen } from "./seen.ts";
import type { StreamRow, Streams } from "./streams.ts";
import { duplicate, StreamWriter, type Outcome } from "./stream-writer.ts";
import type { Job } from "./turn.ts";

/** SQLite's own bound on a value, less what stands beside the body in its row. */
export const maxMessageBytes: number = 1_000_000_000 - 1_048_576;
const dueAtOnce = 500;

export interface AppendEvents {
  /** Nobody else has written since our last transaction. */
  alone(): boolean;
  /** Some of this process will read what is appended. */
  read(): boolean;
  /** `delayed`: some of it is for later. */
  appended(delayed: boolean): void;
  /** The file can't grow. */
  full(): void;
}

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
  readonly #events: AppendEvents;
  #waiting: OutMessage[] = [];
  #batch: OutMessage[] = [];
  #outcomes: Outcome[] = [];
  #delayedAny = false;

  constructor(database: Database, clock: Clock, streams: Streams, retention: Retention, events: AppendEvents) {
    this.#clock = clock;
    this.#streams = streams;
    this.#retention = retention;
    this.#seen = new Seen(database);
    this.delayed = new Delayed(database);
    this.#events = events;
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
    const open = new Map<string, StreamWriter | DriverError>();
    const refused = new Map<string, DriverError>();
    const outcomes: Outcome[] = Array.from({ length: this.#batch.length });
    this.#outcomes = outcomes;
    this.#seen.enter(now, this.#events.alone());
    this.#delayedAny = false;
    let lane = "";
    let writer: StreamWriter | DriverError | undefined;
    const batch = this.#batch;
    for (let index = 0; index < batch.length; index += 1) {
      const message = batch[index]!;
      const { to, key } = message;
      const name = to.kind === "queue" ? `queue ${to.group}` : to.kind === "topic" ? to.stream : "";
      if (name !== lane || writer === undefined) {
        lane = name;
        writer = open.get(lane);
        if (writer === undefined) open.set(lane, (writer = this.#open(message, outcomes, now)));
      }
      let failed = writer instanceof DriverError ? writer : undefined;
      if (refused.size > 0 && key !== undefined) failed ??= refused.get(`${lane}\n${key}`);
      if (failed === undefined && writer instanceof StreamWriter) failed = this.#store(writer, message, index, now);
      if (failed === undefined) continue;
      outcomes[index] = failed;
      if (key !== undefined) refused.set(`${lane}\n${key}`, failed);
    }
    for (const each of open.values()) {
      if (each instanceof DriverError) continue;
      each.flush();
      this.#streams.save(each.stream);
    }
  }

  committed(): void {
    const batch = this.#batch;
    const outcomes = this.#outcomes;
    this.#batch = [];
    this.#events.appended(this.#delayedAny);
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
    if (isFull(error)) this.#events.full();
    for (const message of batch) message.failed(stored, error);
  }

  /** Puts what is due into the logs; false when a full stream refused some of it, which stays for later. */
  moveDue(now: number): boolean {
    const full = new Set<number>();
    for (;;) {
      const known = full.size;
      const rows = this.delayed.due(now, dueAtOnce, full);
      this.#moveRows(rows, full, now);
      // behind what waits for room may be others'
      if (full.size === known || rows.length < dueAtOnce) return full.size === 0;
    }
  }

  /** Adds the streams that refused some of them. */
  #moveRows(rows: readonly DelayedRow[], full: Set<number>, now: number): void {
    const open = new Map<number, StreamRow | undefined>();
    for (const { id, stream: to, partition, topic, key, event, expires, headers, body } of rows) {
      if (!open.has(to)) open.set(to, this.#streams.byId(to));
      const stream = open.get(to);
      if (stream !== undefined && this.#retention.room(stream, body.byteLength, now) !== undefined) {
        full.add(to);
        continue;
      }
      if (stream !== undefined) {
        stream.last += 1;
        stream.last_at = Math.max(stream.last_at, now);
        stream.bytes += body.byteLength;
        stream.largest = Math.max(stream.largest, body.byteLength);
        this.#streams
          .log(to)
          .append([stream.last, stream.last_at, partition, topic, key, event, expires, headers, body], 1);
      }
      this.delayed.remove(id);
    }
    for (const stream of open.values()) if (stream !== undefined) this.#streams.save(stream);
  }

  #open({ to }: OutMessage, outcomes: Outcome[], now: number): StreamWriter | DriverError {
    const name = to.kind === "topic" ? to.stream : "";
    const stream = to.kind === "queue" ? this.#streams.makeQueue(to.group) : this.#streams.named(name);
    if (stream === undefined) return new DriverError("BUS_NOT_FOUND", `sqlite: there is no stream "${name}"`);
    return new StreamWriter(stream, this.#streams, this.#seen, outcomes, now, this.#events.read());
  }

  /** The reason when it is refused. */
  #store(writer: StreamWriter, message: OutMessage, index: number, now: number): DriverError | undefined {
    const { body, notBefore, brokerId } = message;
    if (body.byteLength > maxMessageBytes)
      return new DriverError(
        "BUS_TOO_LARGE",
        `sqlite: a message of ${body.byteLength} bytes; the most is ${maxMessageBytes}`,
      );
    if (notBefore !== undefined && notBefore > now) this.#delay(writer, message, index, notBefore);
    else {
      if (!writer.fits(body.byteLength)) {
        writer.flush();
        const full = this.#retention.room(writer.stream, body.byteLength, now);
        const before = full === undefined ? undefined : this.#seen.find(brokerId, writer.stream.id);
        if (before !== undefined) this.#outcomes[index] = duplicate(before);
        if (full !== undefined) return before === undefined ? full : undefined;
      }
      writer.push(message, index);
    }
    return undefined;
  }

  #delay(writer: StreamWriter, message: OutMessage, index: number, due: number): void {
    const { stream } = writer;
    const { to, id, key, hash, expiresAt, headers, body } = message;
    const before = this.#seen.note(message.brokerId, stream.id, 0);
    this.#outcomes[index] = before === undefined ? 0 : duplicate(before);
    if (before !== undefined) return;
    const topic = to.kind === "inbox" ? "" : to.topic;
    this.#delayedAny = true;
    this.delayed.add(
      due,
      stream.id,
      hash % stream.partitions,
      topic,
      key ?? null,
      id,
      expiresAt ?? null,
      encodeHeaders(headers),
      body,
    );
  }
}
