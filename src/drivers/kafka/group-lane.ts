import { Credit } from "../../internal/credit.ts";
import type { Headers, Window } from "../../driver.ts";
import type { Commit, Committed } from "./committer.ts";
import { DueHeap } from "./due-heap.ts";
import { Ledger, type Range } from "./ledger.ts";
import { type LedgerEntry, type LedgerNote, ledgerText } from "./ledger-text.ts";
import { MarkAhead } from "./mark-ahead.ts";
import { KafkaMessage, type Place } from "./message.ts";
import type { Reading } from "./reading.ts";
import type { TopicFilter } from "./topic-filter.ts";

const unlimited: Window = { messages: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY };
const mostHeld = 10_000;
const mostHeldBytes = 4_194_304;
const mostNoted = 3_900;

/** What a lane goes by that is the whole group's. */
export interface LaneHost {
  readonly revision: number;
  /** What was committed of it by an earlier revision counts for nothing. */
  since(lane: GroupLane): number;
  filter(lane: GroupLane): TopicFilter;
  now(): number;
  ticks(): number;
  /** The floor that the broker knows rose. */
  floor(lane: GroupLane): void;
  /** What its mark covers is more. */
  covered(): void;
  /** Its commit was, by itself: Kafka's number. True: it is not committed again. */
  refused(lane: GroupLane, errorCode: number): boolean;
}

/** What stood when it was taken over. */
export interface LaneStart {
  readonly floor: number;
  readonly entry: LedgerEntry | undefined;
  readonly suspect: number;
  readonly since: number;
  /** What is noted of messages, in full: beside an offset may stand its place only. */
  readonly notes?: ReadonlyMap<number, Headers>;
}

/** Where a record of a lane waits for its time; undefined: it doesn't. */
export type DueOf = (message: KafkaMessage) => number | undefined;

/** A partition in its owner's hands: what is settled, what is handed out, what waits for its time. */
export class GroupLane implements Committed {
  readonly ref: string;
  /** Of a stream by its name. */
  readonly lane: string;
  readonly topic: string;
  readonly partition: number;
  readonly place: Place;
  readonly credit: Credit = new Credit(unlimited);
  state: "reading" | "draining" | "over" = "reading";
  /** Delivered and unsettled. */
  readonly hand: Map<number, KafkaMessage> = new Map();
  readonly notes: Map<number, LedgerNote> = new Map();
  reading: Reading | undefined = undefined;
  readonly #since: number;
  readonly #host: LaneHost;
  readonly topicId: string;
  #ledger: Ledger;
  #mark: MarkAhead;
  #suspect: number;
  readonly #noted: ReadonlyMap<number, Headers>;
  readonly #dueOf: DueOf | undefined;
  readonly #held = new DueHeap<KafkaMessage>();
  #heldBytes = 0;
  /** Up to, and without, this one everything was judged. */
  #seen: number;
  #head: KafkaMessage | undefined;
  #floorSaid: number;
  /** Set by the last commit of an owner that ends: nothing that nobody touched is a suspect. */
  #final: "kept" | "cut off" | undefined;

  constructor(
    host: LaneHost,
    at: { readonly ref: string; readonly lane: string; readonly topic: string; readonly partition: number },
    topicId: string,
    place: Place,
    start: LaneStart,
    dueOf: DueOf | undefined,
  ) {
    this.#host = host;
    this.ref = at.ref;
    this.lane = at.lane;
    this.topic = at.topic;
    this.partition = at.partition;
    this.place = place;
    this.topicId = topicId;
    this.#ledger = new Ledger(start.floor, start.entry?.ranges);
    this.#mark = new MarkAhead(start.floor, host.ticks());
    this.#suspect = start.suspect;
    this.#since = start.since;
    this.#noted = start.notes ?? new Map();
    this.#dueOf = dueOf;
    this.#seen = start.floor;
    this.#floorSaid = start.floor;
    for (const note of start.entry?.notes ?? []) this.notes.set(note.offset, note);
  }

  get floor(): number {
    return this.#ledger.floor;
  }

  /** As the broker knows it. */
  get committed(): number {
    return this.#floorSaid;
  }

  /** Nothing is known to have been stored in it ever. */
  get isEmpty(): boolean {
    return Math.max(this.reading?.end ?? 0, this.#seen) === 0;
  }

  /** What is read next. */
  get start(): number {
    return this.#seen;
  }

  /** How many wait for their time. */
  get timed(): number {
    return this.#held.size;
  }

  get nextDue(): number | undefined {
    return this.#held.nextAt;
  }

  /** Of changes: how many there were, went with a commit, and are at the broker. */
  #changes = 0;
  #sent = 0;
  #known = 0;
  /** Of the definition that the last commit went by. */
  #sentRevision = 0;

  /** There is something to commit. */
  get changed(): boolean {
    return this.#sent < this.#changes || this.#sentRevision !== this.#host.revision;
  }

  /** The broker has all that changed. */
  get isKnown(): boolean {
    return this.#known === this.#changes;
  }

  /** What could be handed out next: judged, wanted and due. */
  peek(): KafkaMessage | undefined {
    if (this.state !== "reading" || this.reading === undefined) return undefined;
    if (this.#head !== undefined) return this.#head;
    const now = this.#host.now();
    const due = this.#held.take(now);
    if (due !== undefined) {
      this.#heldBytes -= due.size;
      return (this.#head = due);
    }
    for (let record = this.reading.peek(); record !== undefined; record = this.reading.peek()) {
      const { offset } = record;
      if (this.#held.size >= mostHeld || this.#heldBytes >= mostHeldBytes) return undefined;
      this.#gap(offset);
      this.#seen = offset + 1;
      this.reading.shift();
      if (this.#ledger.isSettled(offset)) continue;
      const message = new KafkaMessage(record, this.place);
      if (!this.#host.filter(this).matches(message.topic)) {
        this.settleAt(offset);
        continue;
      }
      message.owner = this;
      if (offset < this.#suspect) message.deliveries += 1;
      const note = this.notes.get(offset);
      if (note !== undefined) {
        message.attempts = note.attempts;
        message.notBefore = note.notBefore;
        message.addNotes(this.#noted.get(offset) ?? note.headers);
      }
      const at = this.#dueOf?.(message);
      if (at !== undefined && at > now) {
        this.#held.add(at, message);
        this.#heldBytes += message.size;
        this.#changes += 1;
        continue;
      }
      return (this.#head = message);
    }
    // what waits and is only not shown yet is no gap
    if (this.reading.waiting === 0) this.#gap(this.reading.next);
    return undefined;
  }

  /** What is below is not in the log any more; true: something of it was to be handed out next. */
  trimmed(first: number): boolean {
    const head = this.#head;
    if (head === undefined || head.offset >= first || this.place.lane === "queue") return false;
    this.#head = undefined;
    this.settleAt(head.offset);
    return true;
  }

  /** The log ends there, and others come to have the offsets above: what was in hand is read again, if it is still there. */
  cutOff(end: number): void {
    const floor = Math.min(this.floor, end);
    this.#suspect = Math.min(end, Math.max(this.#suspect, this.#seen));
    const kept = this.#ledger.ranges.flatMap(([from, to]): Range[] => (from < end ? [[from, Math.min(to, end)]] : []));
    this.#ledger = new Ledger(floor, kept);
    this.#mark = new MarkAhead(floor, this.#host.ticks());
    for (const offset of this.notes.keys()) if (offset >= end) this.notes.delete(offset);
    this.hand.clear();
    this.#forgetHeld();
    this.#head = undefined;
    this.#seen = floor;
    this.#floorSaid = floor;
    this.reading?.goTo(floor);
    this.#changes += 1;
  }

  /** Offsets that hold nothing. */
  #gap(to: number): void {
    if (to <= this.#seen) return;
    this.#ledger.settle(this.#seen, to);
    this.#seen = to;
    this.#changes += 1;
  }

  /** Whether the broker knows that this one may be in a handler's hands. */
  covers({ offset }: KafkaMessage): boolean {
    return this.#mark.covers(offset);
  }

  /** Something is to be handed out next, and is not yet. */
  get waitsForRoom(): boolean {
    return this.#head !== undefined && this.place.lane === "stream";
  }

  /** Takes what was peeked. */
  handOut(): void {
    const message = this.#head!;
    this.#head = undefined;
    this.hand.set(message.offset, message);
    this.#mark.handOut(message.offset, this.#host.ticks());
    this.#changes += 1;
  }

  /** The mark should be moved on before long. */
  get wantsMark(): boolean {
    return this.#mark.wanted(this.#head?.offset) !== undefined;
  }

  settle(message: KafkaMessage): void {
    message.over = true;
    this.hand.delete(message.offset);
    this.settleAt(message.offset);
  }

  settleAt(offset: number): void {
    this.notes.delete(offset);
    this.#ledger.settle(offset);
    this.#changes += 1;
  }

  /** It goes with the next commit; false: there is no room for it. */
  note(note: LedgerNote): boolean {
    const before = this.notes.get(note.offset);
    this.notes.set(note.offset, note);
    this.#changes += 1;
    // the other fields may grow by a little until it is committed
    if (this.#text(this.#mark.value, mostNoted) !== undefined) return true;
    if (before === undefined) this.notes.delete(note.offset);
    else this.notes.set(note.offset, before);
    return false;
  }

  /** No handler of it can be running: what is left waits for its next attempt, or behind such a one of its key. */
  isDrained(): boolean {
    const now = this.#host.now();
    const waiting = new Set<string>();
    for (const message of this.hand.values()) {
      const { notBefore, key } = message;
      if (notBefore !== undefined && notBefore > now) {
        if (key !== undefined) waiting.add(key);
      } else if (key === undefined || !waiting.has(key)) return false;
    }
    return true;
  }

  drain(): void {
    if (this.state !== "reading") return;
    this.state = "draining";
    this.reading?.close();
    this.#forgetHeld();
    this.#head = undefined;
  }

  get isFinal(): boolean {
    return this.#final !== undefined;
  }

  /** The last commit says who may have had what. */
  finish(how: "kept" | "cut off" | undefined): void {
    this.#final = how;
    this.#changes += 1;
  }

  #forgetHeld(): void {
    this.#held.clear();
    this.#heldBytes = 0;
  }

  end(): void {
    this.state = "over";
    this.reading?.close();
    this.#forgetHeld();
    this.#head = undefined;
  }

  #handed(): number {
    if (this.#final === undefined) return Math.max(this.#mark.wanted(this.#head?.offset) ?? 0, this.#mark.value);
    if (this.#final === "kept") return this.floor;
    let handed = this.floor;
    for (const offset of this.hand.keys()) handed = Math.max(handed, offset + 1);
    return handed;
  }

  #text(handed: number, longest?: number): string | undefined {
    const entry: LedgerEntry = {
      topicId: this.topicId,
      revision: this.#host.revision,
      handed,
      suspect: Math.max(this.floor, this.#suspect),
      held: this.hand.size + this.#held.size,
      timed: this.#held.size,
      ranges: this.#ledger.ranges,
      notes: [...this.notes.values()],
    };
    return ledgerText(this.floor, entry, longest);
  }

  refused(errorCode: number): boolean {
    return this.state === "over" || this.#host.refused(this, errorCode);
  }

  /** It begins earlier than when it was taken: what is settled since counts for nothing. */
  get wasPutBack(): boolean {
    return this.#host.since(this) !== this.#since;
  }

  commit(): Commit | undefined {
    if (this.state === "over" || this.wasPutBack) return undefined;
    const handed = this.#handed();
    const offset = this.floor;
    const text = this.#text(handed);
    if (text === undefined) throw new RangeError("notes that were let in don't fit");
    const sent = this.#changes;
    this.#sent = sent;
    this.#sentRevision = this.#host.revision;
    return {
      offset,
      text,
      confirmed: () => {
        this.#known = Math.max(this.#known, sent);
        this.#mark.confirmed(handed);
        this.#host.covered();
        if (offset <= this.#floorSaid) return;
        this.#floorSaid = offset;
        this.#host.floor(this);
      },
    };
  }
}
