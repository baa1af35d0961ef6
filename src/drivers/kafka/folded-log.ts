import type { Cluster } from "./cluster.ts";
import { newest, oldest } from "./cluster.ts";
import { mayNotRead, unauthorized } from "./errors.ts";
import type { FetchedPartition } from "./fetch-answer.ts";
import type { FetchLoop, FetchPlace } from "./fetch-loop.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Producer } from "./producer.ts";
import type { Field } from "./record-encoder.ts";
import type { FetchedRecord } from "./record-batch.ts";

const outOfRange = 1;
const refusedPauseMs = 1_000;
const roomBytes = 1_048_576;

export interface LogOptions {
  readonly cluster: Cluster;
  readonly loop: FetchLoop;
  readonly producer: Producer;
  readonly topic: string;
  readonly partition: number;
  readonly timeoutMs: number;
  /** In the order of the log, each once. */
  record(record: FetchedRecord): void;
  /** Records were passed by that are no more. */
  cut?(): void;
}

/** One partition that is read from some place on and folded by everybody in one order, and written to. */
export class FoldedLog implements FetchPlace {
  readonly topic: string;
  readonly partition: number;
  next = 0;
  room: number = roomBytes;
  readonly #options: LogOptions;
  readonly #waiting = new Set<{
    readonly offset: number;
    readonly resolve: () => void;
    readonly reject: (error: unknown) => void;
  }>();
  #closed = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
  }

  /** Reads from there on; resolves when it has all that was there when it was asked. */
  async follow(from: number = oldest): Promise<void> {
    const { cluster, loop } = this.#options;
    const { topic, partition } = this;
    const [start = 0, end = 0] = await cluster.offsets([
      { topic, partition, at: from },
      { topic, partition, at: newest },
    ]);
    this.next = start;
    if (from === oldest && start > 0) this.#options.cut?.();
    loop.add(this);
    await this.reached(end - 1);
  }

  /** As of now, as the leader has it. */
  async current(): Promise<void> {
    const { topic, partition } = this;
    const [end] = await this.#options.cluster.offsets([{ topic, partition, at: newest }]);
    await this.reached((end ?? 0) - 1);
  }

  /** Resolves when everything up to and including the offset is folded. */
  reached(offset: number): Promise<void> {
    if (offset < this.next) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { cluster, timeoutMs } = this.#options;
    const timer = cluster.clock.after(timeoutMs, () => {
      this.#waiting.delete(waiter);
      reject(new DriverError("BUS_TIMEOUT", `kafka: ${this.topic} could not be read in time`, { retryable: true }));
    });
    const waiter = {
      offset,
      resolve: () => {
        timer[Symbol.dispose]();
        resolve();
      },
      reject: (error: unknown) => {
        timer[Symbol.dispose]();
        reject(error as Error);
      },
    };
    this.#waiting.add(waiter);
    return promise;
  }

  /** Where it is stored. */
  append(value: Uint8Array, key?: Uint8Array, headers: readonly Field[] = []): Promise<number> {
    return new Promise((resolve, reject) => {
      const { cluster, producer, timeoutMs } = this.#options;
      producer.add(this.topic, this.partition, {
        key,
        value,
        headers,
        bytes: value.byteLength + 200,
        deadline: cluster.clock.ticks() + timeoutMs,
        stored: (offset) => resolve(Number(offset)),
        failed: (_, error) => reject(error as Error),
      });
      producer.flush();
    });
  }

  took({ batches, first }: FetchedPartition): void {
    if (first > this.next) {
      this.next = first;
      this.#options.cut?.();
    }
    for (const { records, to } of batches) {
      for (const record of records) {
        if (record.offset < this.next) continue;
        this.next = record.offset + 1;
        this.#options.record(record);
      }
      this.next = Math.max(this.next, to);
    }
    for (const waiter of this.#waiting) {
      if (waiter.offset >= this.next) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  failed(errorCode: number): void {
    if (this.room === 0) return;
    const { cluster } = this.#options;
    if (errorCode === unauthorized) {
      this.#rejectAll(mayNotRead(this.topic));
      this.room = 0;
      cluster.clock.after(refusedPauseMs, () => this.#wake()); // who gives rights does not tell us
      return;
    }
    if (errorCode !== outOfRange) return;
    this.room = 0;
    const { topic, partition } = this;
    cluster
      .offsets([
        { topic, partition, at: oldest },
        { topic, partition, at: newest },
      ])
      .then(([first = 0, end = 0]) => {
        // a log that lost its end tells nothing again: what was read of it stands
        if (this.next > end) this.next = end;
        else {
          this.next = first;
          this.#options.cut?.();
        }
      })
      .catch(() => undefined) // it is said again by the next answer
      .finally(() => this.#wake());
  }

  #wake(): void {
    if (this.#closed) return;
    this.room = roomBytes;
    this.#options.loop.wake();
  }

  #rejectAll(error: unknown): void {
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  close(error: unknown): void {
    this.#closed = true;
    this.#options.loop.remove(this);
    this.#rejectAll(error);
  }
}
