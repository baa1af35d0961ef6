import { DriverError } from "../../internal/driver-error.ts";
import type { Outcome } from "./outcome.ts";
import type { RecordFields } from "./record-encoder.ts";
import { Sequence } from "./sequence.ts";

/** One record on its way into a partition. */
export interface Parcel extends RecordFields {
  /** Of all of it, in a batch. */
  readonly bytes: number;
  /** By `Clock.ticks`. */
  readonly deadline: number;
  stored(offset: bigint): void;
  failed(stored: "no" | "unknown", error: unknown): void;
}

export interface LaneLimits {
  readonly batchSize: number;
  readonly batchBytes: number;
}

/** Records that go, and are tried again, together: one try of them. */
export interface Batch {
  readonly parcels: readonly Parcel[];
  readonly sequence: number;
}

interface State {
  readonly parcels: readonly Parcel[];
  /** The try that is at the broker. */
  underWay: Batch | undefined;
  /** Nothing of any try was stored. */
  certain: boolean;
  tries: number;
  /** Since when, without another answer, it is said that there is no such topic. */
  missingSince: number | undefined;
}

const shortestWaitMs = 100;
const longestWaitMs = 1_000;
/** What was made a moment ago is not known everywhere yet. */
const unknownTopicMs = 2_000;

/**
 * One partition: what waits for it, in order, and at most one batch under way, which is tried again by the same sequence until
 * it is known or its time is over. Pure but for what it tells its parcels.
 */
export class Lane {
  readonly topic: string;
  readonly partition: number;
  readonly #limits: LaneLimits;
  readonly #sequence: Sequence = new Sequence();
  #waiting: Parcel[] = [];
  #batch: State | undefined;
  #notBefore = 0;
  #lacksLeader = false;
  /** The highest offset that was answered, and of which topic: another one of the name begins anew. */
  #highest = -1n;
  #topicId: string | undefined;
  /** Of a batch that was too large: how many may go at once. */
  #most = Number.POSITIVE_INFINITY;

  constructor(topic: string, partition: number, limits: LaneLimits) {
    this.topic = topic;
    this.partition = partition;
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return this.#batch === undefined && this.#waiting.length === 0;
  }

  /** At the broker, with an answer to come. */
  get isUnderWay(): boolean {
    return this.#batch?.underWay !== undefined;
  }

  /** It was not given up meanwhile. */
  isStill(sent: Batch): boolean {
    return this.#batch?.underWay === sent;
  }

  /** What the broker may know of it by its sequence; a new producer id would make it another batch. */
  get isUncertain(): boolean {
    return this.#batch !== undefined && (this.#batch.underWay !== undefined || !this.#batch.certain);
  }

  /** When there is something to do: a try or an end. */
  get nextAt(): number {
    const head = this.#batch?.parcels[0] ?? this.#waiting[0];
    if (head === undefined) return Number.POSITIVE_INFINITY;
    return this.isUnderWay ? head.deadline : Math.min(head.deadline, this.#notBefore);
  }

  add(parcel: Parcel): void {
    this.#waiting.push(parcel);
  }

  /** Which topic has the name, as far as is known. */
  inTopic(id: string | undefined): void {
    if (id === undefined || id === this.#topicId) return;
    if (this.#topicId !== undefined) this.#highest = -1n;
    this.#topicId = id;
  }

  /** A place that another batch had: one of them is not in the log, or it is another topic by now. */
  isTaken(offset: bigint): boolean {
    return offset >= 0n && offset <= this.#highest;
  }

  /** What is to be sent now; undefined: nothing, or not yet. `fresh`: also what the broker can't know of. */
  take(now: number, fresh: boolean): Batch | undefined {
    if (this.#batch === undefined && fresh && now >= this.#notBefore) this.#form();
    const batch = this.#batch;
    if (batch === undefined || batch.underWay !== undefined || now < this.#notBefore) return undefined;
    if (!fresh && batch.certain) return undefined; // under the next id
    batch.underWay = { parcels: batch.parcels, sequence: this.#sequence.next };
    batch.tries += 1;
    return batch.underWay;
  }

  #form(): void {
    const { batchSize, batchBytes } = this.#limits;
    const most = Math.min(batchSize, this.#most);
    let bytes = 0;
    let count = 0;
    for (const parcel of this.#waiting) {
      if (count === most || (count > 0 && bytes + parcel.bytes > batchBytes)) break;
      bytes += parcel.bytes;
      count += 1;
    }
    if (count === 0) return;
    this.#batch = {
      parcels: this.#waiting.splice(0, count),
      underWay: undefined,
      certain: true,
      tries: 0,
      missingSince: undefined,
    };
    this.#most = Number.POSITIVE_INFINITY;
  }

  /** What waits for nothing but a leader need not wait for its time. */
  leaderKnown(): void {
    if (this.#lacksLeader) this.#notBefore = 0;
    this.#lacksLeader = false;
  }

  /** There is nobody to send it to; `missing`: the brokers say that there is no such topic. */
  withoutLeader(sent: Batch, now: number, missing: boolean): void {
    const batch = this.#batch;
    if (batch?.underWay !== sent) return;
    this.#lacksLeader = true;
    this.notSent(sent, now);
    this.#isThere(missing, now);
  }

  /** False: it was said for so long that there is no such topic that it ended. */
  #isThere(missing: boolean, now: number): boolean {
    const batch = this.#batch!;
    batch.missingSince = missing ? (batch.missingSince ?? now) : undefined;
    if (batch.missingSince === undefined || !batch.certain || now - batch.missingSince <= unknownTopicMs) return true;
    this.#notFound();
    return false;
  }

  #notFound(): void {
    const message = `kafka: there is no topic ${this.topic}, or nobody leads it`;
    this.#end("no", new DriverError("BUS_NOT_FOUND", message, { retryable: true }));
  }

  /** This try was not even written. */
  notSent(sent: Batch, now: number): void {
    if (this.#batch?.underWay !== sent) return;
    this.#batch.underWay = undefined;
    this.#wait(now);
  }

  /** The answer to this try, or that there will be none (`again`, not certain). True: a new producer id is needed before the next batch. */
  answered(sent: Batch, outcome: Outcome, offset: bigint, now: number): boolean {
    const batch = this.#batch;
    if (batch?.underWay !== sent) return false; // it was given up on: another one may be under way by now
    batch.underWay = undefined;
    switch (outcome.what) {
      case "stored":
        return this.#stored(offset);
      case "again":
        batch.certain &&= outcome.certain;
        if (this.#isThere(outcome.missing === true, now)) this.#wait(now);
        return false;
      case "too-large":
        return this.#tooLarge();
      case "refused": {
        const [code, retryable] = outcome.verdict;
        const isUnknown = !batch.certain;
        const { cause } = outcome;
        const text = cause === undefined ? `kafka: ${this.topic} refused it` : "kafka: its batch can't be packed";
        this.#end(isUnknown ? "unknown" : "no", new DriverError(code, text, { retryable, cause }));
        return isUnknown;
      }
      case "out-of-sequence":
        if (batch.certain) {
          this.#wait(now); // as it is, under a new id
          return true;
        }
        this.#end("unknown", new DriverError("BUS_SERVER", `kafka: ${this.topic} lost what it knew of this producer`));
        return true;
    }
  }

  #stored(offset: bigint): boolean {
    const { parcels } = this.#batch!;
    if (this.isTaken(offset)) {
      this.#highest = offset + BigInt(parcels.length) - 1n; // what follows is behind it
      this.#end("unknown", new DriverError("BUS_SERVER", `kafka: ${this.topic} gave the place ${offset} twice`));
      return true;
    }
    this.#batch = undefined;
    this.#notBefore = 0;
    this.#sequence.stored(parcels.length);
    if (offset >= 0n) this.#highest = offset + BigInt(parcels.length) - 1n;
    for (const [at, parcel] of parcels.entries()) parcel.stored(offset < 0n ? offset : offset + BigInt(at));
    return false;
  }

  #tooLarge(): boolean {
    const batch = this.#batch!;
    const error = new DriverError("BUS_TOO_LARGE", `kafka: larger than ${this.topic} takes`);
    if (!batch.certain) {
      this.#end("unknown", error); // it was not too large before
      return true;
    }
    if (batch.parcels.length > 1) {
      // nothing of it is in the log, so its sequence is free
      this.#most = Math.ceil(batch.parcels.length / 2);
      this.#waiting = [...batch.parcels, ...this.#waiting];
      this.#batch = undefined;
      return false;
    }
    this.#end("no", error);
    return false;
  }

  #wait(now: number): void {
    const { tries } = this.#batch!;
    this.#notBefore = now + Math.min(longestWaitMs, shortestWaitMs * 2 ** Math.max(0, tries - 1));
  }

  /** Ends what is past its deadline. True: a new producer id is needed before the next batch. */
  expire(now: number): boolean {
    let needsNewId = false;
    const batch = this.#batch;
    if (batch !== undefined && (batch.parcels[0]?.deadline ?? 0) <= now) {
      needsNewId = this.isUncertain;
      const error = new DriverError("BUS_TIMEOUT", "kafka: not stored in time", { retryable: true });
      this.#end(needsNewId ? "unknown" : "no", error);
    }
    const late = this.#waiting.findIndex(({ deadline }) => deadline > now);
    const ended = this.#waiting.splice(0, late === -1 ? this.#waiting.length : late);
    for (const parcel of ended)
      parcel.failed("no", new DriverError("BUS_TIMEOUT", "kafka: not sent in time", { retryable: true }));
    return needsNewId;
  }

  /** Under the new id the broker knows nothing of this partition. */
  renewed(): void {
    this.#sequence.restart();
  }

  /** Everything ends: unknown what was at the broker, the rest not stored. */
  close(error: unknown): void {
    this.#end(this.isUncertain ? "unknown" : "no", error);
    for (const parcel of this.#waiting.splice(0)) parcel.failed("no", error);
  }

  #end(stored: "no" | "unknown", error: unknown): void {
    const parcels = this.#batch?.parcels ?? [];
    this.#batch = undefined;
    this.#notBefore = 0;
    for (const parcel of parcels) parcel.failed(stored, error);
  }
}
