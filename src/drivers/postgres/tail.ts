import type { Consumption, InMessage, Sink, Source, Window } from "../../driver.ts";
import { AckOnly } from "../../internal/ack-only.ts";
import { Credit } from "../../internal/credit.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { RowMessage } from "../../internal/rows/message.ts";
import { isLost } from "./classify.ts";
import { startsOf } from "./definitions.ts";
import { tailKinds } from "./functions/tail.ts";
import { replacedError, type Row } from "./link.ts";
import { messageOf } from "./message.ts";
import { regexOf } from "./pattern-regex.ts";
import type { Session } from "./session.ts";
import { partitionName, type StreamRow, type Streams } from "./streams.ts";
import { arrayOf, bytesOf, numberOf } from "./values.ts";

const againMs = 250;
const mostAtOnce = 1_000;

interface Place {
  readonly partition: number;
  readonly name: string;
  /** Everything up to it was looked at. */
  next: number;
}

export async function openTail(
  session: Session,
  streams: Streams,
  source: Extract<Source, { readonly kind: "tail" }>,
  sink: Sink,
  window: Window,
): Promise<Tail> {
  const stream = await streams.existing(source.stream);
  const known = new Map([...(source.resume ?? [])].map(([name, position]) => [name, Number(position)]));
  const starts = await startsOf(session, streams, stream, source.from);
  const places: Place[] = [];
  for (const { partition, last } of await streams.newest(stream.id)) {
    const name = partitionName(stream, partition);
    const kept = known.get(name);
    // a position that the log has not reached is of another database, or of what a promoted standby lacks
    const reached = kept !== undefined && session.promoted ? Math.min(kept, last) : kept;
    const after = reached !== undefined && Number.isSafeInteger(reached) && reached <= last ? reached : undefined;
    places.push({ partition, name, next: after ?? (kept === undefined ? (starts.get(partition) ?? last) : 0) });
  }
  return new Tail(session, stream, places, sink, window);
}

/** Reads a stream from some place on, for this process alone; nothing is stored. */
export class Tail extends AckOnly implements Consumption {
  readonly address: undefined = undefined;
  readonly stream: number;
  readonly #session: Session;
  readonly #sink: Sink;
  readonly #credit: Credit;
  readonly #places: readonly Place[];
  readonly #ears: readonly Disposable[];
  #patterns: readonly string[] = [">"];
  #poll: Disposable | undefined;
  #reading = false;
  #news = true;
  #turn = 0;
  #state: "open" | "stopped" | "closed" = "open";

  constructor(session: Session, stream: StreamRow, places: readonly Place[], sink: Sink, window: Window) {
    super("postgres", "tail");
    this.#session = session;
    this.stream = stream.id;
    this.#places = places;
    this.#sink = sink;
    this.#credit = new Credit(window);
    this.#ears = [
      session.onNews("n", (rest) => void (Number(rest) === stream.id && this.look())),
      session.onNews("r", () => this.look()),
      session.listen({ up: () => this.look(), replaced: () => this.#end(replacedError()) }),
    ];
    this.#pollLater();
    session.clock.soon(() => this.look());
  }

  /** Something was published. */
  look(): void {
    this.#news = true;
    void this.#read();
  }

  window(window: Window): void {
    this.#credit.window = window;
    this.look();
  }

  wants(patterns: readonly string[]): Promise<void> {
    this.#patterns = patterns;
    this.look();
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    this.#credit.acknowledge(messages as readonly RowMessage[]);
    if (this.#news) void this.#read();
  }

  stop(): Promise<void> {
    if (this.#state === "open") this.#state = "stopped";
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#state = "closed";
    this.#poll?.[Symbol.dispose]();
    for (const ear of this.#ears) ear[Symbol.dispose]();
    return Promise.resolve();
  }

  #end(error: unknown): void {
    if (this.#state === "closed") return;
    void this.close();
    this.#sink.ended(error, false);
  }

  #pollLater(): void {
    this.#poll = this.#session.later(this.#session.pollMs, () => {
      this.look();
      this.#pollLater();
    });
  }

  async #read(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#news && this.#state === "open" && this.#credit.messages > 0 && this.#session.isUp) {
        this.#news = false;
        await this.#readOnce();
      }
    } catch (error) {
      this.#news = true;
      if (!isLost(error)) this.#session.later(againMs, () => void this.#read());
    } finally {
      this.#reading = false;
    }
  }

  async #readOnce(): Promise<void> {
    const patterns = this.#patterns;
    // in turn, so that none waits behind another that never ends
    const from = (this.#turn += 1) % this.#places.length;
    const places = [...this.#places.slice(from), ...this.#places.slice(0, from)];
    const nobody = patterns.length === 0; // whatever comes is passed over
    const rows = await this.#session.desk.query("SELECT * FROM {1:tail}($1, $2, $3, $4, $5, $6)", [
      String(this.stream),
      arrayOf(places.map(({ partition }) => partition)),
      arrayOf(places.map(({ next }) => next)),
      nobody ? "^$" : regexOf(patterns),
      String(Math.min(this.#credit.messages, mostAtOnce)),
      String(Math.min(this.#credit.bytes, Number.MAX_SAFE_INTEGER)),
    ]);
    if (this.#state !== "open") return;
    if (rows.length === 0) return this.#end(new DriverError("BUS_NOT_FOUND", "postgres: the stream was deleted"));
    if (patterns !== this.#patterns) return void (this.#news = true); // they were asked for by others
    const messages: RowMessage[] = [];
    let lost = 0;
    for (const row of rows) lost += this.#take(row, places, messages);
    // of what is gone nobody can tell any more whether it was wanted
    if (lost > 0)
      this.#sink.lost(patterns.includes(">") ? lost : undefined, "dropped by retention before the tail came to it");
    for (const message of messages) this.#credit.take(message.size);
    if (messages.length > 0) this.#sink.deliver(messages);
  }

  /** How many retention took before. */
  #take(row: Row, places: readonly Place[], messages: RowMessage[]): number {
    const [kind, index, seq, last, missed] = row;
    const place = places[Number(index)]!;
    if (Number(kind) === tailKinds.message) {
      messages.push(messageOf(numberOf(seq), row, 5, bytesOf, undefined, "stream", place.name));
      return 0;
    }
    place.next = numberOf(seq);
    if (numberOf(last) < place.next) {
      place.next = 0;
      this.#news = true;
      this.#sink.lost(undefined, "the log was emptied by hand");
    }
    if (numberOf(seq) < numberOf(last)) this.#news = true;
    return numberOf(missed);
  }
}
