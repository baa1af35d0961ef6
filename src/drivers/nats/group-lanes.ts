import type { NativeConsumer } from "./api-types.ts";
import { consumerNames } from "./consumer-names.ts";
import { makePart, makeQueue, nativeOf } from "./group-consumers.ts";
import { isTrusted, type Lane, partIn, trieOf } from "./group-lane.ts";
import type { GroupDefinition, Part } from "./group-plan.ts";
import type { NatsMessage, Place } from "./message.ts";
import { afterTokens, queueLane } from "./names.ts";
import type { Pull } from "./pull.ts";
import type { Puller } from "./puller.ts";
import type { Shared } from "./shared.ts";

/** What a member of an unordered group reads: a lane for its queue, and one for each part of the definition. */
export class Lanes implements Iterable<Lane> {
  readonly #shared: Shared;
  readonly #added: () => void;
  readonly #puller: Puller;
  readonly #lanes = new Set<Lane>();
  readonly #places = new WeakMap<Lane, Place>();
  readonly #making = new Map<string, Promise<void>>();
  #started = false;
  #definition: GroupDefinition;
  #closed = false;

  constructor(shared: Shared, puller: Puller, definition: GroupDefinition, added: () => void) {
    this.#added = added;
    this.#shared = shared;
    this.#puller = puller;
    this.#definition = definition;
  }

  [Symbol.iterator](): Iterator<Lane> {
    return this.#lanes.values();
  }

  of(pull: Pull | undefined): Lane | undefined {
    for (const lane of this.#lanes) if (lane.pull === pull) return lane;
    return undefined;
  }

  /** Something of it was not handled, or nobody knows. */
  left(lane: Lane): boolean {
    return lane.hand.size > 0 || !(lane.idle || (lane.pull !== undefined && this.#puller.idle(lane.pull)));
  }

  inHand(): readonly NatsMessage[] {
    return [...this.#lanes].flatMap(({ hand }) => [...hand.values()]);
  }

  /** Reads what a newer definition has; the lanes that it has no more. */
  define(definition: GroupDefinition): readonly Lane[] {
    this.#definition = definition;
    const over: Lane[] = [];
    for (const lane of this.#lanes) {
      if (lane.part !== undefined && partIn(definition, lane.part) === undefined) over.push(lane);
      else lane.trusted = isTrusted(definition, lane);
    }
    this.look();
    return over;
  }

  /** For parts whose stream was not there, or whose consumer could not be made. */
  look(): void {
    for (const part of this.#definition.parts) this.#read(part).catch(() => undefined); // the next look tries again
  }

  /** Makes their consumers; `start` reads. */
  async open(): Promise<void> {
    const name = consumerNames.queue(this.#definition);
    const place = { lane: "queue", partition: queueLane, topic: (subject: string) => afterTokens(subject, 3) } as const;
    const [queue] = await Promise.all([
      makeQueue(this.#shared, this.#definition, name),
      ...this.#definition.parts.map((part) => this.#read(part)),
    ]);
    const lane = this.#new(queueLane, nativeOf(this.#shared, queueLane), name);
    this.#add({ ...lane, ackWaitMs: ackWaitOf(queue) ?? lane.ackWaitMs }, place);
  }

  /** All at once, so that each gets a share of the window. */
  start(): void {
    if (this.#closed || this.#started) return;
    this.#started = true;
    for (const lane of this.#lanes) this.#pull(lane);
  }

  drop(lane: Lane): void {
    this.#lanes.delete(lane);
    if (lane.pull !== undefined) this.#puller.drop(lane.pull);
    this.#puller.takeHeld(({ delivery }) => delivery.consumer === lane.consumer);
  }

  close(): void {
    this.#closed = true;
    for (const lane of this.#lanes) for (const message of lane.hand.values()) message.over = true;
  }

  #read(part: Part): Promise<void> {
    for (const lane of this.#lanes)
      if (lane.part?.revision === part.revision && lane.stream === part.stream) return Promise.resolve();
    const key = `${part.stream} ${part.revision}`;
    let making = this.#making.get(key);
    if (making === undefined) {
      making = this.#make(part).finally(() => this.#making.delete(key));
      this.#making.set(key, making);
    }
    return making;
  }

  async #make(part: Part): Promise<void> {
    const { streams } = this.#shared;
    let facts = streams.get(part.stream);
    if (facts?.created !== part.created) facts = (await streams.look(part.stream))?.facts;
    if (facts?.created !== part.created) return; // it is not there, or another one now
    const found = facts;
    const { info, exact } = await makePart(this.#shared, this.#definition, part, (each) => found.filter(each));
    if (partIn(this.#definition, part) === undefined) return;
    const lane = this.#new(part.stream, found.native, consumerNames.part(this.#definition, part));
    this.#add(
      {
        ...lane,
        part,
        ackWaitMs: ackWaitOf(info) ?? lane.ackWaitMs,
        wanted: exact ? undefined : trieOf(part.patterns),
        waiting: info.num_pending,
      },
      { lane: "stream", partition: part.stream, topic: found.topicOf },
    );
  }

  #add(lane: Lane, place: Place): void {
    if (this.#closed) return;
    lane.trusted = isTrusted(this.#definition, lane);
    this.#lanes.add(lane);
    this.#places.set(lane, place);
    this.#added();
    if (this.#started) this.#pull(lane);
  }

  #pull(lane: Lane): void {
    lane.pull = this.#puller.add({
      stream: lane.native,
      consumer: lane.consumer,
      place: this.#places.get(lane)!,
    });
  }

  #new(stream: string, native: string, consumer: string): Lane {
    return {
      stream,
      native,
      consumer,
      ackWaitMs: this.#shared.session.options.leaseMs,
      part: undefined,
      wanted: undefined,
      hand: new Map(),
      pull: undefined,
      trusted: true,
      touched: true,
      waiting: 0,
      idle: false,
    };
  }
}

/** A consumer keeps the lease of whoever made it. */
const ackWaitOf = ({ config }: NativeConsumer): number | undefined => (config.ack_wait ?? 0) / 1e6 || undefined;
