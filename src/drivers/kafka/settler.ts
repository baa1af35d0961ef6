import { murmur2 } from "../../internal/murmur2.ts";
import type { Headers, Note, Settlement } from "../../driver.ts";
import type { Committer } from "./committer.ts";
import type { GroupLane } from "./group-lane.ts";
import { classify } from "./errors.ts";
import type { More } from "./headers.ts";
import { type KafkaMessage, merged } from "./message.ts";
import { queueLane, refOf } from "./names.ts";
import { longestNote } from "./notes.ts";
import type { Shared } from "./shared.ts";

export type Result = "done" | "stale" | "unknown";

interface Others {
  readonly owners: ReadonlyMap<string, string>;
  readonly me: string;
}

const tellEveryMs = 60_000;

/** Settlements that are more than an offset: what is to stay is stored first, by one who certainly still owns the message. */
export class Settler {
  readonly #shared: Shared;
  readonly #group: string;
  readonly #committer: Committer;
  readonly #others: () => Others;
  #toldAt: number | undefined;

  constructor(shared: Shared, group: string, committer: Committer, others: () => Others) {
    this.#shared = shared;
    this.#group = group;
    this.#committer = committer;
    this.#others = others;
  }

  /** Of one that is `done` the offset is to be settled. */
  async settle(settlement: Settlement, lane: GroupLane): Promise<Result> {
    try {
      if (!(await this.#committer.now(lane))) return "stale";
      const message = settlement.message as KafkaMessage;
      if (message.over) return "stale";
      if (settlement.how === "dead") await this.#shared.letters.put(settlement.letter);
      else if (settlement.how === "retry") {
        const { attempts, headers, delayMs } = settlement;
        await this.#copy(
          message,
          { attempts, notes: merged(message.notes, headers) },
          delayMs,
          this.#partitionOf(message),
        );
      } else await this.#release(message, settlement.headers, settlement.delayMs);
      return "done";
    } catch (error) {
      const { code, retryable } = classify(error);
      if (code === "BUS_TOO_LARGE") throw error;
      if (!retryable) this.#tell(code, error);
      return "unknown";
    }
  }

  /** What an operator has to mend: the message waits until then, and is tried again each second. */
  #tell(code: string, error: unknown): void {
    const { clock, context } = this.#shared.session;
    if (clock.ticks() - (this.#toldAt ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    this.#toldAt = clock.ticks();
    const reason = error instanceof Error ? error.message : "unknown";
    context.warn("kafka: a message can't be settled", { group: this.#group, code, reason });
  }

  /** False: it is not ours any more. */
  async record({ attempts, notBefore, headers }: Note, message: KafkaMessage, lane: GroupLane): Promise<boolean> {
    const all = merged(message.notes, headers);
    const note = { offset: message.offset, attempts, notBefore };
    const isLong = JSON.stringify(all).length > longestNote;
    if (isLong || !lane.note({ ...note, headers: all })) {
      const kept = await this.#shared.notes.keep(all);
      if (message.over) return false;
      if (!lane.note({ ...note, headers: kept })) throw new RangeError("too much is noted of this partition");
    }
    return await this.#committer.now(lane);
  }

  /** To a member that has not given it up yet, at once; when all have, to any after the delay. */
  async #release(message: KafkaMessage, headers: Headers, delayMs: number): Promise<void> {
    const { owners, me } = this.#others();
    const by = [...new Set([...(message.more.by ?? []), me])];
    const partitions = this.#partitions();
    const fresh: number[] = [];
    const others: number[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const owner = owners.get(refOf(queueLane, partition));
      if (owner === undefined) continue;
      if (!by.includes(owner)) fresh.push(partition);
      else if (owner !== me) others.push(partition);
    }
    const { clock } = this.#shared.session;
    const drawn = (of: readonly number[]): number => of[Math.floor(clock.random() * of.length)] ?? 0;
    const more: More = {
      attempts: message.attempts,
      deliveries: message.deliveries,
      notes: merged(message.notes, headers),
    };
    if (fresh.length > 0) return await this.#copy(message, { ...more, by }, 0, drawn(fresh));
    const partition = others.length > 0 ? drawn(others) : this.#partitionOf(message);
    await this.#copy(message, { ...more, by: [me] }, delayMs, partition);
  }

  #partitions(): number {
    return this.#shared.queues.partitions(this.#group) ?? this.#shared.session.options.queuePartitions;
  }

  /** That of its key, so that one that waits meets its like. */
  #partitionOf({ key, offset, record }: KafkaMessage): number {
    return (key === undefined ? offset + record.time : murmur2(key)) % this.#partitions();
  }

  async #copy(message: KafkaMessage, more: More, delayMs: number, partition: number): Promise<void> {
    const { session, delays, queues } = this.#shared;
    await queues.make(this.#group);
    const { expires, reply } = message.more;
    const due = delayMs > 0 ? session.clock.now() + delayMs : undefined;
    const beside: More = {
      ...more,
      ...(due === undefined ? {} : { due }),
      ...(expires === undefined ? {} : { expires }),
      ...(reply === undefined ? {} : { reply }),
    };
    const topic = session.names.queue(this.#group);
    const { key, value } = message.record;
    const record = { topic, partition, key, value: value ?? new Uint8Array(0) };
    if (due === undefined || delays.isHeld(due)) {
      const headers = session.headers(message.topic, beside, message.own());
      return void (await session.store({ ...record, headers }));
    }
    const headers = session.headers(message.topic, { ...beside, target: [topic, partition] }, message.own());
    await delays.store(due, { key, value: record.value, headers });
  }
}
