import type { Consumption, InMessage, Sink } from "../../driver.ts";
import type { GroupEntry } from "./control-fold.ts";
import type { More } from "./headers.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { classify } from "./errors.ts";
import { GroupMember, type Work } from "./group-member.ts";
import type { Parcel } from "./lane.ts";
import type { KafkaMessage } from "./message.ts";
import { delaysGroup } from "./names.ts";
import { makeOwnTopics, ownMessageBytes } from "./own-topics.ts";
import type { NewRecord, Session } from "./session.ts";
import type { Shared } from "./shared.ts";
import { tierFor, tierMs } from "./tiers.ts";

/** What is due sooner is held where it goes to. */
const holdMs = 8_000;
const againMs = 250;
/** The last tier in which what was refused waits: half an hour. */
const lastPutOff = 5;
const lane = "due";

/**
 * What is due later waits in tiers, each a partition in which all wait equally long, so that the head is due first; whoever is
 * connected moves it on. Nothing is moved early.
 */
export class Delays {
  readonly #session: Session;
  #shared: Shared | undefined;
  #making: Promise<void> | undefined;
  #member: Consumption | undefined;
  #opening = false;
  #closed = false;
  #listening: Disposable | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Takes part in moving as soon as there is something to move. */
  start(shared: Shared): void {
    this.#shared = shared;
    this.#listening = this.#session.control.listen((what) => what === "delays" && void this.#join());
    if (this.#session.control.fold.delays) void this.#join();
  }

  /** Whether whoever owns the partition waits for it. */
  isHeld(due: number): boolean {
    return due - this.#session.clock.now() <= holdMs;
  }

  /** Told as any parcel; its headers name where it goes. */
  put(due: number, parcel: Parcel): void {
    this.#make().then(
      () => {
        const { own: producer, names } = this.#session;
        producer.add(names.delays, tierFor(due - this.#session.clock.now()), parcel);
        producer.flush();
      },
      (error: unknown) => parcel.failed("no", error),
    );
  }

  async store(due: number, record: Pick<NewRecord, "key" | "value" | "headers">): Promise<void> {
    await this.#make();
    const { names, clock } = this.#session;
    await this.#session.store({ ...record, topic: names.delays, partition: tierFor(due - clock.now()) });
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true;
    this.#listening?.[Symbol.dispose]();
    await this.#member?.close(signal);
  }

  /** The topic first, then the record by which everybody joins. */
  #make(): Promise<void> {
    return (this.#making ??= this.#makeOnce().catch((error: unknown) => {
      this.#making = undefined;
      throw error;
    }));
  }

  async #makeOnce(): Promise<void> {
    const { control, names, context } = this.#session;
    if (!control.fold.delays && context.manage !== "create")
      throw new DriverError(
        "BUS_NOT_FOUND",
        `kafka: there is no topic ${names.delays} for what is due later, and this bus may not make it`,
      );
    await this.#makeTopic();
    await control.change(({ delays }) => (delays ? undefined : { is: "delays" }));
  }

  async #makeTopic(): Promise<void> {
    await makeOwnTopics(this.#session, [
      this.#session.ownTopic(this.#session.names.delays, tierMs.length, {
        "segment.ms": "3600000",
        "max.message.bytes": ownMessageBytes,
      }),
    ]);
  }

  async #join(): Promise<void> {
    if (this.#member !== undefined || this.#opening || this.#closed || this.#shared === undefined) return;
    this.#opening = true;
    const { names, clock } = this.#session;
    const entry: GroupEntry = {
      revision: 1,
      first: 0,
      since: 0,
      spec: { group: delaysGroup, reads: [], from: { at: "oldest" }, order: "none", live: false },
      starts: {},
      again: {},
      queue: undefined,
      former: undefined,
    };
    const work: Work = {
      group: delaysGroup,
      lanes: () => new Map([[lane, { topic: names.delays, partitions: tierMs.length }]]),
      entry: () => entry,
      kindOf: () => "queue",
      dueOf: (message) => dueInTier(message),
      heal: () => this.#makeTopic(),
    };
    const again = (): void => {
      this.#member = undefined;
      if (!this.#closed) void clock.after(againMs, () => void this.#join());
    };
    const sink: Sink = {
      deliver: (messages) => {
        for (const message of messages) void this.#move(message as KafkaMessage);
      },
      revoked: () => undefined,
      floor: () => undefined,
      spec: () => undefined,
      lost: () => undefined,
      ended: again,
    };
    const member = new GroupMember(
      this.#shared,
      work,
      entry,
      sink,
      { messages: 1_000, bytes: 16_777_216 },
      () => undefined,
    );
    this.#member = member;
    this.#opening = false;
    await member.start().catch(() => undefined); // it was told that it ended
    if (this.#closed) await member.close(AbortSignal.abort());
  }

  /** Only what is defined nowhere is no more: a broker may not know a topic yet, or its leader be away. */
  async #isGone(target: More["target"]): Promise<boolean> {
    const { control, names } = this.#session;
    try {
      const { streams, groups } = await control.current();
      const stream = [...streams.keys()].find((name) => names.stream(name) === target?.[0]);
      if (stream !== undefined) await this.#shared?.streams.heal(stream);
      return stream === undefined && ![...groups.keys()].some((name) => names.queue(name) === target?.[0]);
    } catch {
      return false; // what can't be known now is kept
    }
  }

  /** A stream that was made again may have fewer than it had. */
  #partitionOf([topic, partition]: NonNullable<More["target"]>): number {
    const { control, names } = this.#session;
    for (const [name, { options }] of control.fold.streams)
      if (names.stream(name) === topic) return partition % options.partitions;
    return partition;
  }

  /** On into the next tier, or to where it goes; stored first, then done. */
  async #move(message: KafkaMessage): Promise<void> {
    const { more, record } = message;
    const { due = 0, target, refused: _refused, ...beside } = more;
    const { clock } = this.#session;
    while (!message.over && !this.#closed) {
      try {
        const key = record.key;
        const value = record.value ?? new Uint8Array(0);
        if (target === undefined) return this.#member?.ack([message]);
        const topic = target[0];
        const partition = this.#partitionOf(target);
        const isQueue =
          topic !== undefined && this.isHeld(due) && due > clock.now() && isQueueTopic(topic, this.#session);
        if (due <= clock.now() || isQueue) {
          const kept = isQueue ? { ...beside, due } : beside;
          const headers = this.#session.headers(
            message.topic,
            Object.keys(kept).length === 0 ? undefined : kept,
            message.own(),
          );
          await this.#session.store({ topic, partition, key, value, headers });
        } else {
          const headers = this.#session.headers(message.topic, more, message.own());
          await this.store(due, { key, value, headers });
        }
        this.#member?.ack([message as InMessage]);
        return;
      } catch (error) {
        if ((error as { readonly code?: unknown }).code === "BUS_NOT_FOUND" && (await this.#isGone(target))) {
          this.#session.context.warn(`kafka: what was due later is dropped: ${target?.[0]} was deleted meanwhile`, {});
          return this.#member?.ack([message]);
        }
        if (!classify(error).retryable && (await this.#putOff(message, error))) return;
        await this.#session.cluster.pause(againMs);
      }
    }
  }

  /** What is refused for good, as a topic refuses what it has no room for, makes way for the others and is tried again later and later. */
  async #putOff(message: KafkaMessage, error: unknown): Promise<boolean> {
    const { more, record } = message;
    const refused = Math.min((more.refused ?? 0) + 1, lastPutOff);
    const waitMs = tierMs[refused] ?? 0;
    const due = this.#session.clock.now() + waitMs;
    const headers = this.#session.headers(message.topic, { ...more, due, refused }, message.own());
    try {
      await this.store(due, { key: record.key, value: record.value ?? new Uint8Array(0), headers });
    } catch {
      return false; // the caller tries the move itself again
    }
    const { code } = classify(error);
    this.#session.context.warn(`kafka: ${more.target?.[0]} refused what was due, tried again later`, { code, waitMs });
    this.#member?.ack([message]);
    return true;
  }
}

const isQueueTopic = (topic: string, { names }: Session): boolean => topic.startsWith(names.queue(""));

/** In the first partition its own time, in the others that of the tier. */
function dueInTier({ more, record, partition }: KafkaMessage): number | undefined {
  const tier = Number(partition?.slice(partition.lastIndexOf("/") + 1) ?? 0);
  const { due = 0 } = more;
  return tier === 0 ? due : Math.min(due, record.time + (tierMs[tier] ?? 0));
}
