import { matchesPattern } from "../../internal/topic-trie.ts";
import type { AmqpDelivery } from "./client.ts";
import type { GroupDefinition, Replay } from "./definition-fold.ts";
import type { Definitions } from "./definitions.ts";
import { type Job, pastOfJob, putMarker, seamOf } from "./group-setup.ts";
import { LogReader, offsetOf, type Offset } from "./log-reader.ts";
import { settling } from "./publisher.ts";
import { removeRemains } from "./remains.ts";
import { SeamIds } from "./seam-ids.ts";
import { Seam } from "./seam.ts";
import { randomHex, type Session } from "./session.ts";
import { quorum } from "./topology.ts";
import { expirationOf, markOf, splitPlace, timeOf, type WireHeaders } from "./wire.ts";

const graceMs = 100;
const watchMs = 5_000;
const lookMs = 1_000;
const inFlight = 512;
const everyCopies = 1_000;

/** `waiting`: until it is declared. */
interface HistoryQueue {
  readonly queue: string;
  waiting: { publish(queue: string): void; failed(error: unknown): void }[] | undefined;
}

/** One job: the past of one stream for one group, from where it was left. */
export class Copying {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #job: Job;
  readonly #alive: () => boolean;
  readonly #readers: LogReader[] = [];
  readonly #history = new Set<number>();
  readonly #histories = new Map<number, HistoryQueue>();
  /** Queues of the group itself, by partition. */
  readonly #late = new Map<number, string>();
  #isAttached = false;
  /** Of the log behind the first marker, not seen live yet: of a long past what the one reader is ahead of the other. */
  readonly #held = new Map<number, AmqpDelivery>();
  /** Markers that were read: where they stand in the log, and whether they were read live. */
  readonly #inLog = new Map<string, number>();
  readonly #inSeam = new Set<string>();
  #seam: Seam;
  #begun = false;
  #copies = 0;
  #open = 0;
  /** Offsets of what is not copied yet. */
  readonly #unstored = new Set<number>();
  /** From the first copy of the seam on it is not stopped before it is recorded that all is copied. */
  #isFinishing = false;
  #failed: Error | undefined;
  #stopped = false;
  #wake: (() => void) | undefined;
  /** Counts what came and was stored. */
  #moves = 0;
  #offset = -1;

  constructor(session: Session, definitions: Definitions, job: Job, alive: () => boolean) {
    this.#session = session;
    this.#definitions = definitions;
    this.#job = job;
    this.#alive = alive;
    this.#seam = new Seam(job.m0, job.m1);
  }

  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** Resolves when it is known how far this one came; nothing more is copied by it. */
  async save(): Promise<void> {
    const { clock } = this.#session;
    while (this.#open > 0 || this.#isFinishing) await new Promise<void>((resolve) => void clock.after(2, resolve));
    const { id, stream } = this.#job;
    const isCopied = this.#definitions.replay(id, stream)?.copied === true;
    if (this.#offset >= 0 && !isCopied && this.#now() !== undefined) await this.#record(false);
  }

  async #record(copied: boolean): Promise<void> {
    if (!copied && this.#offset < 0) return;
    const { group, id, stream } = this.#job;
    const offset = [...this.#unstored].reduce((least, each) => Math.min(least, each - 1), this.#offset);
    await this.#definitions.putReplay(group, id, stream, { offset, copied, history: [...this.#history] });
  }

  async run(): Promise<void> {
    const { id, stream } = this.#job;
    this.#failed = undefined;
    this.#begun = false;
    this.#offset = -1; // how far an earlier try had read says nothing of what it stored
    this.#held.clear();
    this.#late.clear();
    this.#histories.clear(); // one that is gone is made again
    this.#inLog.clear();
    this.#inSeam.clear();
    this.#unstored.clear();
    this.#seam = new Seam(this.#job.m0, this.#job.m1);
    await this.#definitions.current();
    const wake = (): void => this.#moved();
    const watch = this.#definitions.listen({ group: wake, streams: wake });
    try {
      const definition = this.#now();
      const before = this.#definitions.replay(id, stream);
      if (definition !== undefined && before?.copied !== true) await this.#copy(definition, before);
    } catch (error) {
      // Of a making that is over: what it copied goes below, and its successor has a job of its own.
      if (this.#now() !== undefined) throw error;
    } finally {
      watch[Symbol.dispose]();
      for (const reader of this.#readers.splice(0)) reader.close();
    }
    if (this.#now() === undefined) return await this.#clear();
    if (this.#definitions.replay(id, stream)?.copied !== true) throw new Error("it is not copied yet");
    await removeRemains(this.#session, this.#definitions, seamOf(this.#session, this.#job));
  }

  /** The group is gone, or was made again: what was copied for this one nobody reads. */
  async #clear(): Promise<void> {
    const { clock } = this.#session;
    while (this.#open > 0) await new Promise<void>((resolve) => void clock.after(2, resolve)); // they declare queues
    await removeRemains(this.#session, this.#definitions, pastOfJob(this.#session, this.#job));
  }

  /** Undefined: the group is gone, or another making of it is there. */
  #now(): GroupDefinition | undefined {
    const { definition } = this.#definitions.group(this.#job.group);
    const { id, stream } = this.#job;
    const isOurs = definition?.id === id && definition.lanes[stream] !== undefined;
    return isOurs && this.#definitions.streams.has(stream) ? definition : undefined;
  }

  async #copy(definition: GroupDefinition, before: Replay | undefined): Promise<void> {
    const { clock, names } = this.#session;
    const { group, id, stream } = this.#job;
    for (const number of before?.history ?? []) this.#history.add(number);
    const patterns = definition.lanes[stream]?.patterns ?? [];
    const { maxAgeMs, attached } = this.#definitions.streams.get(stream)!;
    const whole = (this.#isAttached = attached !== undefined);
    const oldest = clock.now() - maxAgeMs;
    const ordered = definition.spec.order === "group";
    const matches = (message: AmqpDelivery): boolean => {
      const key = message.fields.routingKey;
      const topic = whole ? key : splitPlace(key).topic;
      return this.#isWanted(message, oldest) && patterns.some((pattern) => matchesPattern(pattern, topic));
    };
    const [logIds, liveIds] = [new SeamIds(), new SeamIds()];
    const log = this.#reader(names.stream(stream), (reader, message, offset) => {
      if (this.#stopped && !this.#isFinishing) return; // how far this one came is told already
      const m = markOf(message);
      if (m !== undefined) this.#inLog.set(m, offset);
      const isMatch = m === undefined && matches(message);
      if (m === this.#job.m0) this.#begun = true;
      const isMissing = this.#seam.log(m ?? (isMatch && this.#begun ? logIds.of(message) : ""), offset, isMatch);
      if (isMissing) this.#held.set(offset, message);
      if (isMatch && !this.#begun) this.#put(message, ordered, maxAgeMs, () => reader.release(message));
      else reader.release(message);
      if (!this.#begun) this.#offset = offset;
      this.#moved();
    });
    const live = this.#reader(names.seam(group, id, stream), (reader, message) => {
      const m = markOf(message);
      for (const offset of this.#seam.live(m ?? liveIds.of(message))) this.#held.delete(offset);
      if (m !== undefined) this.#inSeam.add(m);
      reader.release(message);
      this.#moved();
    });
    await live.open("first", inFlight);
    await log.open(this.#start(before), inFlight);
    try {
      let { later, copies } = await this.#copySeam(this.#job.m1, ordered, maxAgeMs);
      // what is stored late belongs before what is live, where order counts
      if (ordered)
        do ({ later, copies } = await this.#copySeam(later, ordered, maxAgeMs));
        while (copies > 0);
      await this.#until(() => this.#open === 0);
      await this.#endHistory();
      await this.#record(true);
    } finally {
      this.#isFinishing = false;
    }
    // what was routed before the binding and is stored still later: its publisher was not answered yet
    const until = clock.ticks() + watchMs;
    while (clock.ticks() < until && this.#now() !== undefined) {
      await this.#pause(lookMs);
      await this.#copySeam(await this.#marker(), false, maxAgeMs);
    }
    await this.#until(() => this.#open === 0);
  }

  async #endHistory(): Promise<void> {
    const { group, id, stream } = this.#job;
    for (const number of this.#history)
      await this.#session.own.put(
        { exchange: "", routingKey: this.#session.names.history(group, id, stream, number) },
        Buffer.alloc(0),
        { deliveryMode: 2, headers: { m: "end" } },
      );
  }

  #isWanted(message: AmqpDelivery, oldest: number): boolean {
    const { e } = (message.properties.headers ?? {}) as WireHeaders;
    const at = timeOf(message) ?? this.#session.clock.now();
    const { from } = this.#job;
    if (at < oldest || (typeof e === "number" && e <= this.#session.clock.now())) return false;
    if ("time" in from) return at >= from.time;
    if ("positions" in from) return offsetOf(message) > this.#after(from.positions);
    return true;
  }

  #start(before: Replay | undefined): Offset {
    if (before !== undefined && before.offset >= 0) return before.offset + 1;
    const { from } = this.#job;
    if ("time" in from) return { time: Math.max(from.time - 1_000, 0) };
    return "first"; // an offset that a log has not reached yet would be waited for
  }

  /**
   * What stands in the log before a marker and was not read live, although a later marker was: it is in the group's queues no more
   * than in the seam queue.
   */
  async #copySeam(
    marker: string,
    ordered: boolean,
    maxAgeMs: number,
  ): Promise<{ readonly later: string; readonly copies: number }> {
    const isRead = (id: string): boolean => this.#inLog.has(id) && this.#inSeam.has(id);
    await this.#until(() => isRead(marker));
    await this.#pause(graceMs);
    const later = await this.#marker();
    await this.#until(() => isRead(later));
    if (marker === this.#job.m1) this.#isFinishing = true;
    const before = this.#inLog.get(marker)!;
    const missing = this.#seam.take(before).flatMap((offset) => this.#held.get(offset) ?? []);
    for (const message of missing) this.#put(message, ordered, maxAgeMs, () => undefined);
    for (const offset of this.#held.keys()) if (offset < before) this.#held.delete(offset);
    if (this.#failed !== undefined) throw this.#failed;
    return { later, copies: missing.length };
  }

  async #marker(): Promise<string> {
    const id = randomHex(this.#session.clock);
    await putMarker(this.#session, this.#job.stream, this.#job.group, id);
    return id;
  }

  #put(message: AmqpDelivery, ordered: boolean, maxAgeMs: number, stored: () => void): void {
    const { own, clock } = this.#session;
    const place = message.fields.routingKey;
    const partition = this.#isAttached ? 0 : splitPlace(place).partition;
    const offset = offsetOf(message);
    const { t = clock.now(), ...headers } = (message.properties.headers ?? {}) as WireHeaders & Record<string, unknown>;
    this.#open += 1;
    this.#unstored.add(offset);
    const done = (): void => {
      this.#open -= 1;
      this.#copies += 1;
      this.#unstored.delete(offset);
      stored();
      if (this.#copies % everyCopies === 0) this.#record(false).catch(() => undefined); // more is copied again then
      this.#moved();
    };
    const failed = (error: unknown): void => {
      this.#open -= 1;
      this.#failed = error instanceof Error ? error : new Error(String(error));
      this.#moved();
    };
    const publish = (queue: string): void =>
      own.publish(
        { exchange: "", routingKey: queue },
        message.content,
        {
          messageId: message.properties.messageId,
          contentType: message.properties.contentType,
          timestamp: message.properties.timestamp,
          deliveryMode: 2,
          expiration: expirationOf(t + maxAgeMs - clock.now()),
          headers: { ...headers, "x-stream-offset": undefined, t, o: place },
        },
        true,
        settling(queue, done, failed),
      );
    if (ordered) this.#intoHistory(partition, publish, failed);
    else publish(this.#lateQueue(partition));
  }

  /** Of a log that was made again everything is new. */
  #after(positions: Readonly<Record<string, string>>): number {
    const { stream } = this.#job;
    const [offset, born] = (positions[stream] ?? "").split("@");
    return born === this.#definitions.streams.get(stream)?.born && offset !== undefined ? Number(offset) : -1;
  }

  #lateQueue(partition: number): string {
    let queue = this.#late.get(partition);
    if (queue !== undefined) return queue;
    const { group, stream } = this.#job;
    const isOrdered = this.#now()?.spec.order === "group";
    queue = this.#session.names.group(group, stream, isOrdered ? partition : undefined);
    this.#late.set(partition, queue);
    return queue;
  }

  /** Declared when its first is copied; those of one partition go on in their order. */
  #intoHistory(partition: number, publish: (queue: string) => void, failed: (error: unknown) => void): void {
    const known = this.#histories.get(partition);
    if (known !== undefined) {
      if (known.waiting === undefined) publish(known.queue);
      else known.waiting.push({ publish, failed });
      return;
    }
    const { group, id, stream } = this.#job;
    const queue = this.#session.names.history(group, id, stream, partition);
    const history: HistoryQueue = { queue, waiting: [{ publish, failed }] };
    this.#histories.set(partition, history);
    this.#history.add(partition);
    this.#session
      .ask((channel) => channel.assertQueue(queue, { durable: true, arguments: quorum() }))
      .then(
        () => {
          const waiting = history.waiting ?? [];
          history.waiting = undefined;
          for (const each of waiting) each.publish(queue);
        },
        (error: unknown) => {
          if (this.#histories.get(partition) === history) this.#histories.delete(partition);
          for (const each of history.waiting ?? []) each.failed(error); // whoever waits for it is told
        },
      );
  }

  #reader(queue: string, take: (reader: LogReader, message: AmqpDelivery, offset: number) => void): LogReader {
    const reader = new LogReader(
      this.#session,
      queue,
      {
        record: (message, offset) => take(reader, message, offset),
        ended: (error) => {
          this.#failed = error instanceof Error ? error : new Error(String(error));
          this.#moved();
        },
      },
      true,
    );
    this.#readers.push(reader);
    return reader;
  }

  /** Rejects when nothing comes and nothing is stored for as long as a confirm may take: another try goes on from here. */
  async #until(condition: () => boolean): Promise<void> {
    const { clock, options } = this.#session;
    let timer: Disposable | undefined;
    let silent = false;
    const watch = (): void => {
      const moves = this.#moves;
      timer = clock.after(options.confirmTimeoutMs, () => {
        if (moves !== this.#moves) return watch();
        silent = true;
        this.#wake?.();
      });
    };
    watch();
    try {
      while (!condition()) {
        this.#check();
        if (silent) throw new Error(`nothing came of the log, or was stored, for ${options.confirmTimeoutMs} ms`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      timer?.[Symbol.dispose]();
    }
    this.#check();
  }

  #moved(): void {
    this.#moves += 1;
    this.#wake?.();
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = this.#session.clock.after(ms, resolve);
      this.#wake = () => {
        if (!this.#stopped) return;
        timer[Symbol.dispose]();
        resolve();
      };
    });
    this.#check();
  }

  #check(): void {
    if (this.#failed !== undefined) throw this.#failed;
    // what it was bound to may be bound no more, and all that comes now looked as if it was missed
    if (this.#now() === undefined) throw new Error("the group is gone, or was made again");
    if ((this.#stopped && !this.#isFinishing) || !this.#alive()) throw new Error("the job is another's");
  }
}
