import type { LogRow } from "./log.ts";
import { SqliteMessage } from "./message.ts";
import type { Part, PartEntry, PartHandle } from "./part.ts";
import type { StreamRow } from "./streams.ts";

type Message = SqliteMessage<PartHandle>;

/** What one transaction reads of a member's partitions. Nothing in memory has changed until `apply`, after COMMIT. */
export class ReadRound {
  messages: number;
  bytes: number;
  expired = 0;
  more = false;
  /** Handed out up to there. */
  readonly out: Map<Part, number> = new Map();
  /** Looked at up to there. */
  readonly reached: Map<Part, number> = new Map();
  /** At their own bound: nothing more of them is taken. */
  readonly stopped: Set<Part> = new Set();
  readonly #now: number;
  readonly #taken = new Map<Part, number>();
  #entries: { readonly part: Part; readonly entry: PartEntry }[] = [];

  constructor(messages: number, bytes: number, now: number) {
    this.messages = messages;
    this.bytes = bytes;
    this.#now = now;
  }

  get full(): boolean {
    return this.messages <= 0 || this.bytes <= 0;
  }

  roomIn(part: Part): boolean {
    return part.outstanding + (this.#taken.get(part) ?? 0) < part.most;
  }

  stop(part: Part, reached: number): void {
    this.stopped.add(part);
    this.reached.set(part, reached);
  }

  take(stream: StreamRow, part: Part, row: LogRow, wanted: boolean): void {
    if (part.settledBefore(row.seq)) {
      this.#entries.push({
        part,
        entry: { seq: row.seq, settled: true, waitsUntil: undefined, noted: false, message: undefined },
      });
      return;
    }
    if (!wanted) return;
    if (row.expires !== null && row.expires <= this.#now) {
      this.expired += 1;
      return;
    }
    const note = part.noteOf(row.seq);
    const notBefore = note?.not_before ?? undefined;
    const entry: PartEntry = {
      seq: row.seq,
      settled: false,
      waitsUntil: notBefore,
      noted: note !== undefined,
      message: undefined,
    };
    entry.message = new SqliteMessage<PartHandle>(
      row,
      { part, entry },
      stream.queue === 1 ? "queue" : "stream",
      part.name,
      {
        deliveries: part.deliveriesOf(row.seq),
        attempts: note?.attempts ?? 0,
        notBefore,
        notes: note?.headers ?? null,
      },
    );
    this.#entries.push({ part, entry });
    this.#taken.set(part, (this.#taken.get(part) ?? 0) + 1);
    this.out.set(part, row.seq);
    this.messages -= 1;
    this.bytes -= row.body.byteLength;
  }

  /** Another member has it: nothing that was read of it counts. */
  drop(part: Part): void {
    this.#entries = this.#entries.filter((each) => each.part !== part);
    this.reached.delete(part);
    this.out.delete(part);
  }

  /** The messages to deliver, of those partitions that are still held. */
  apply(held: (part: Part) => boolean): Message[] {
    const messages: Message[] = [];
    for (const { part, entry } of this.#entries) {
      if (!held(part)) continue;
      part.push(entry);
      if (entry.message !== undefined) messages.push(entry.message);
    }
    for (const [part, out] of this.out) part.out = out;
    for (const [part, reached] of this.reached) part.reached(reached);
    return messages;
  }
}
