import type { LogRow } from "./log.ts";
import { RowMessage } from "../../internal/rows/message.ts";
import type { Part, PartEntry } from "../../internal/rows/part.ts";
import type { StreamRow } from "./streams.ts";

type Message = RowMessage<PartEntry>;

/** What a round did to one partition. */
export interface Share {
  readonly part: Part;
  taken: number;
  /** Handed out up to there; 0: nothing. */
  out: number;
  /** Looked at up to there. */
  reached: number;
  /** At its own bound: nothing more of it is taken. */
  stopped: boolean;
}

/** What one transaction reads of a member's partitions. Nothing in memory has changed until `apply`, after COMMIT. */
export class ReadRound {
  messages: number;
  bytes: number;
  expired = 0;
  more = false;
  readonly #now: number;
  #shares: Share[] = [];
  #entries: PartEntry[] = [];

  constructor(messages: number, bytes: number, now: number) {
    this.messages = messages;
    this.bytes = bytes;
    this.#now = now;
  }

  get full(): boolean {
    return this.messages <= 0 || this.bytes <= 0;
  }

  /** Of those that took part. */
  get shares(): readonly Share[] {
    return this.#shares;
  }

  /** Once for each partition. */
  share(part: Part): Share {
    const share: Share = { part, taken: 0, out: 0, reached: 0, stopped: false };
    this.#shares.push(share);
    return share;
  }

  take(stream: StreamRow, share: Share, row: LogRow, wanted: boolean): void {
    const { part } = share;
    const { seq } = row;
    if (part.settledBefore(seq)) {
      this.#entries.push({ part, seq, settled: true, waitsUntil: undefined, noted: false, message: undefined });
      return;
    }
    if (!wanted) return;
    if (row.expires !== null && row.expires <= this.#now) {
      this.expired += 1;
      return;
    }
    const note = part.noteOf(seq);
    const notBefore = note?.not_before ?? undefined;
    const noted = note !== undefined;
    const entry: PartEntry = { part, seq, settled: false, waitsUntil: notBefore, noted, message: undefined };
    const deliveries = part.deliveriesOf(seq);
    const place = noted
      ? { deliveries, attempts: note.attempts, notBefore, notes: note.headers }
      : deliveries === 1
        ? undefined
        : { deliveries, attempts: 0, notBefore, notes: null };
    entry.message = new RowMessage(row, entry, stream.queue === 1 ? "queue" : "stream", part.name, place);
    this.#entries.push(entry);
    share.taken += 1;
    share.out = seq;
    this.messages -= 1;
    this.bytes -= row.body.byteLength;
  }

  /** Another member has it: nothing that was read of it counts. */
  drop(part: Part): void {
    this.#entries = this.#entries.filter((each) => each.part !== part);
    this.#shares = this.#shares.filter((each) => each.part !== part);
  }

  /** The messages to deliver, of those partitions that are still held. */
  apply(held: (part: Part) => boolean): Message[] {
    for (const { part } of this.#shares) if (!held(part)) this.drop(part);
    const messages: Message[] = [];
    for (const entry of this.#entries) {
      entry.part.push(entry);
      if (entry.message !== undefined) messages.push(entry.message);
    }
    for (const { part, out, reached } of this.#shares) {
      if (out > 0) part.out = out;
      part.reached(reached);
    }
    return messages;
  }
}
