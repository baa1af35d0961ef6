import type { OutMessage, StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { BrokerIds } from "./broker-ids.ts";
import { Entry } from "./memory-message.ts";
import { PartitionLog } from "./partition-log.ts";
import { Ring } from "./ring.ts";
import type { DueCall } from "./due-queue.ts";
import type { StoreTime } from "./store-time.ts";

/** How long a second send of one broker id is recognised. */
export const dedupeWindowMs = 120_000;
/** However many come within it, so many are recognised. A power of two. */
const dedupeMost = 65_536;

/** What a stream may hold, every value given. */
export interface StreamLimits {
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly maxMessages: number;
  /** Of these, what every group has read. */
  readonly maxRead: number;
  readonly whenFull: "reject" | "drop-oldest" | "wait";
  readonly idleGroupMs: number;
}

/** A publish that waits for space. */
interface Parked {
  readonly message: OutMessage;
  readonly sender: object;
}

/** A message that is due later. It has its room already. */
export interface Scheduled {
  readonly id: string;
  readonly topic: string;
  readonly bytes: number;
  readonly call: DueCall;
}

/**
 * A stream, or a group's queue: its partitions, what it may hold, and what happens when it is full. What every group has
 * read goes first and silently; then `whenFull` decides.
 */
export class StreamLog {
  /** The stream's, or that of the group whose queue it is. */
  readonly name: string;
  /** What its partitions are named after. A group reads one queue, and no stream's name begins so. */
  readonly prefix: string;
  readonly partitions: readonly PartitionLog[];
  limits: StreamLimits;
  /** As declared, for the routing table. */
  options: StreamOptions | undefined;
  messages = 0;
  bytes = 0;
  /** Of a queue: dropped before its group was there to be told. */
  unsaid = 0;
  readonly scheduled: Set<Scheduled> = new Set();
  readonly #kind: "stream" | "queue";
  readonly #time: StoreTime;
  readonly #ids = new BrokerIds(dedupeWindowMs, dedupeMost);
  readonly #parked = new Ring<Parked>();
  #scheduledBytes = 0;
  #lookAgainAt = 0;
  #nextExpiry = Infinity;

  constructor(kind: "stream" | "queue", name: string, partitions: number, limits: StreamLimits, time: StoreTime) {
    this.#kind = kind;
    this.name = name;
    this.prefix = kind === "queue" ? ":queue" : name;
    this.limits = limits;
    this.#time = time;
    this.partitions = Array.from(
      { length: partitions },
      (_, number) => new PartitionLog(kind, `${this.prefix}/${number}`, number),
    );
  }

  /** Publishes that wait for space. */
  get parked(): number {
    return this.#parked.length;
  }

  /** Completes the message, now or, where a full stream waits, later. */
  accept(message: OutMessage, sender: object, now: number): void {
    const known = this.#ids.find(message.brokerId, now);
    if (known !== undefined) return message.stored(known === "" ? undefined : known, true);
    const bytes = message.value === undefined ? message.body.byteLength : 0;
    if (bytes > this.limits.maxBytes)
      return message.failed(
        "no",
        new DriverError(
          "BUS_TOO_LARGE",
          `${this.#kind} (${this.name}): ${bytes} bytes are more than the ${this.limits.maxBytes} it may hold`,
        ),
      );
    if (this.#parked.length === 0 && this.#makeRoom(bytes, now)) return this.#store(message, bytes, now);
    if (this.limits.whenFull === "wait") this.#parked.push({ message, sender });
    else
      message.failed(
        "no",
        new DriverError("BUS_FULL", `${this.#kind} (${this.name}): full with what a group has not handled`, {
          retryable: true,
        }),
      );
  }

  /** Stores what waited, as far as there is room now. */
  unpark(now: number): void {
    for (let first = this.#parked.at(0); first !== undefined; first = this.#parked.at(0)) {
      const bytes = first.message.value === undefined ? first.message.body.byteLength : 0;
      if (!this.#makeRoom(bytes, now)) return;
      this.#parked.shift();
      const known = this.#ids.find(first.message.brokerId, now);
      if (known === undefined) this.#store(first.message, bytes, now);
      else first.message.stored(known === "" ? undefined : known, true);
    }
  }

  /** What waits from one sender fails; of all senders without one. */
  refuseParked(error: unknown, sender?: object): void {
    const others: Parked[] = [];
    for (let parked = this.#parked.shift(); parked !== undefined; parked = this.#parked.shift()) {
      if (sender === undefined || parked.sender === sender) parked.message.failed("no", error);
      else others.push(parked);
    }
    for (const parked of others) this.#parked.push(parked);
  }

  /** When the oldest message is too old, as far as is known; Infinity without any. */
  get nextExpiry(): number {
    return this.#nextExpiry;
  }

  /** Forgets what is too old, handled or not. */
  expire(now: number): void {
    if (now < this.#nextExpiry) return;
    let oldest = Infinity;
    for (const log of this.partitions) {
      while (log.oldest !== undefined && log.oldest.at + this.limits.maxAgeMs <= now)
        this.drop(log, "older than maxAgeMs");
      if (log.oldest !== undefined) oldest = Math.min(oldest, log.oldest.at);
    }
    this.#nextExpiry = oldest + this.limits.maxAgeMs;
  }

  /** New limits hold from now on; what is over them goes with the next message. */
  update(options: StreamOptions, limits: StreamLimits): void {
    this.options = options;
    this.limits = limits;
    this.#nextExpiry = -Infinity;
  }

  /** Forgets the oldest entry of a partition. */
  drop(log: PartitionLog, reason: string): void {
    const unread = this.#kind === "queue" && log.readers.length === 0;
    const entry = log.drop(reason);
    if (entry === undefined) return;
    if (unread) this.unsaid += 1;
    this.messages -= 1;
    this.bytes -= entry.bytes;
  }

  /** Forgets what lies before a position, but nothing that a group has not settled. */
  trim(log: PartitionLog, before: number): void {
    let end = before;
    for (const reader of log.readers)
      if (reader.reader.needs(this.limits.idleGroupMs)) end = Math.min(end, reader.handled + 1);
    while (log.first < end && log.oldest !== undefined) this.drop(log, "trimmed");
  }

  /** What is not due yet; its broker id stays known. The ids that were there. */
  cancel(ids: ReadonlySet<string>): readonly string[] {
    const found = [...this.scheduled].filter(({ id }) => ids.has(id));
    for (const scheduled of found) {
      scheduled.call.cancel();
      this.#unschedule(scheduled);
    }
    return found.map(({ id }) => id);
  }

  /** Nothing comes any more; what waits for space or for its time is refused or forgotten. */
  delete(): void {
    for (const { call } of this.scheduled) call.cancel();
    this.scheduled.clear();
    this.refuseParked(new DriverError("BUS_NOT_FOUND", `${this.#kind} (${this.name}): was deleted`));
  }

  #store(message: OutMessage, bytes: number, now: number): void {
    if (message.notBefore !== undefined && message.notBefore > now) {
      this.#ids.add(message.brokerId, 0, 0, now);
      this.#schedule(message, message.notBefore, bytes);
      return message.stored();
    }
    const number = message.hash % this.partitions.length;
    const position = this.#append(message, number, bytes, now);
    this.#ids.add(message.brokerId, number, position, now);
    message.stored(this.partitions[number]!.place + position);
  }

  #append(message: OutMessage, number: number, bytes: number, now: number): number {
    const log = this.partitions[number]!;
    const position = log.next;
    if (this.messages === 0) this.#nextExpiry = now + this.limits.maxAgeMs;
    this.messages += 1;
    this.bytes += bytes;
    if (this.messages >= this.#lookAgainAt) this.#keepLittle();
    log.append(
      new Entry(
        log,
        (message.to as { readonly topic: string }).topic,
        message,
        now,
        this.#time.nextSequence(),
        position,
      ),
    );
    return position;
  }

  #schedule(message: OutMessage, due: number, bytes: number): void {
    const call = this.#time.at(due, () => {
      this.#unschedule(scheduled);
      this.#append(message, message.hash % this.partitions.length, bytes, this.#time.now());
    });
    const { topic } = message.to as { readonly topic: string };
    const scheduled: Scheduled = { id: message.id, topic, bytes, call };
    this.scheduled.add(scheduled);
    this.#scheduledBytes += bytes;
  }

  #unschedule(scheduled: Scheduled): void {
    this.scheduled.delete(scheduled);
    this.#scheduledBytes -= scheduled.bytes;
  }

  #fits(bytes: number): boolean {
    return (
      this.messages + this.scheduled.size < this.limits.maxMessages &&
      this.bytes + this.#scheduledBytes + bytes <= this.limits.maxBytes
    );
  }

  /** False when it stays full. */
  #makeRoom(bytes: number, now: number): boolean {
    if (now >= this.#nextExpiry) this.expire(now);
    if (this.#fits(bytes)) return true;
    if (this.#kind === "stream") this.#dropRead(bytes, this.limits.maxMessages >> 7);
    if (this.#fits(bytes)) return true;
    if (this.limits.whenFull !== "drop-oldest") return false;
    while (!this.#fits(bytes)) {
      const log = oldestOf(this.partitions, undefined);
      if (log === undefined) return false;
      this.drop(log, "full");
    }
    return true;
  }

  /** Of what every group has read; a few more than needed at once, since finding out who needs what costs more. */
  #dropRead(bytes: number, spare: number): void {
    const needed = this.partitions.map((log) => neededFrom(log, this.limits.idleGroupMs));
    for (let left = spare; left > 0 || !this.#fits(bytes); left -= 1) {
      const log = oldestOf(this.partitions, needed);
      if (log === undefined) return;
      this.drop(log, "full");
    }
  }

  /** Keeps the latest of what every group has read, and what any has not. Without a group everything may be wanted yet. */
  #keepLittle(): void {
    const ungrouped = this.partitions.every((log) =>
      log.readers.every((reader) => !reader.reader.needs(this.limits.idleGroupMs)),
    );
    if (!ungrouped) this.#dropRead(0, this.messages - this.limits.maxRead);
    this.#lookAgainAt = Math.max(this.messages, this.limits.maxRead) + Math.max(this.limits.maxRead >> 2, 1);
  }
}

/** The lowest position that a group still has to read. */
function neededFrom(log: PartitionLog, idleGroupMs: number): number {
  let needed = log.next;
  for (const reader of log.readers) {
    if (reader.next >= needed || !reader.reader.needs(idleGroupMs)) continue;
    reader.wanted();
    needed = Math.min(needed, reader.next);
  }
  return needed;
}

/** The partition with the oldest entry, of those whose oldest is not needed. */
function oldestOf(
  partitions: readonly PartitionLog[],
  needed: readonly number[] | undefined,
): PartitionLog | undefined {
  let found: PartitionLog | undefined;
  let sequence = Infinity;
  for (let number = 0; number < partitions.length; number += 1) {
    const log = partitions[number]!;
    if (log.oldestSequence >= sequence || (needed !== undefined && log.first >= needed[number]!)) continue;
    found = log;
    sequence = log.oldestSequence;
  }
  return found;
}
