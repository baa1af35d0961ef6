import type { Window } from "../../driver.ts";
import { consumerNames } from "./consumer-names.ts";
import { filtersOf } from "./filters.ts";
import { nativeOf } from "./group-consumers.ts";
import type { NatsMessage, Place } from "./message.ts";
import { afterTokens, queueLane } from "./names.ts";
import { nothingBetween } from "./nothing-between.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import type { Pull } from "./pull.ts";
import { Puller } from "./puller.ts";
import type { Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";

export interface PartitionListener {
  /** In the partition's order. */
  deliver(messages: readonly NatsMessage[]): void;
  /** Its consumer is gone, or something it sent came to nobody: it is to be made anew. */
  broken(partition: OwnedPartition): void;
}

const againMs = 250;

/** Reads the partitions that this member owns, each by the consumer of its epoch, and hands out in order what is to be. */
export class PartitionReader {
  readonly #shared: Shared;
  readonly #settler: Settler;
  readonly #listener: PartitionListener;
  readonly #puller: Puller;
  readonly #partitions = new Map<Pull, OwnedPartition>();
  /** What waits for a note to be read, and for what came before it. */
  readonly #waiting = new Map<OwnedPartition, NatsMessage[]>();

  constructor(shared: Shared, settler: Settler, window: Window, listener: PartitionListener) {
    this.#shared = shared;
    this.#settler = settler;
    this.#listener = listener;
    this.#puller = new Puller(shared.session, shared.api, window, {
      messages: (messages, pull) => this.#arrived(messages, pull),
      gone: (pull, _, idle) => {
        const partition = this.#partitions.get(pull);
        if (partition === undefined) return;
        partition.idle = idle;
        listener.broken(partition);
      },
    });
  }

  window(window: Window): void {
    this.#puller.window(window);
  }

  partitionWindow(partition: string, window: Window): void {
    this.#puller.partitionWindow(partition, window);
  }

  free(messages: readonly NatsMessage[]): void {
    this.#puller.free(messages);
  }

  read(partition: OwnedPartition): void {
    const { stream, partition: number } = partition.store;
    const { owner, definition } = partition.owned;
    const place: Place =
      stream === queueLane
        ? { lane: "queue", partition: partition.name, topic: (subject) => afterTokens(subject, 3) }
        : { lane: "stream", partition: partition.name, topic: this.#shared.streams.get(stream)!.topicOf };
    const consumer = consumerNames.epoch(definition, number, owner.reader);
    const pull = this.#puller.add({ stream: nativeOf(this.#shared, stream), consumer, place });
    partition.pull = pull;
    this.#partitions.set(pull, partition);
  }

  /** Something of it was not handled, or nobody knows. */
  left({ hand, idle, pull }: OwnedPartition): boolean {
    return hand.size > 0 || !(idle || (pull !== undefined && this.#puller.idle(pull)));
  }

  /** What the server sends from now on comes to nobody; what is in hand stays there. */
  stop(partition: OwnedPartition): void {
    const { pull } = partition;
    partition.pull = undefined;
    if (pull === undefined) return;
    this.#partitions.delete(pull);
    this.#puller.drop(pull);
    this.#puller.takeHeld(({ delivery }) => delivery.consumer === pull.consumer);
    this.#settler.forget(pull.consumer);
  }

  /** After a reconnect: whether the server sent something that came to nobody. */
  async check(partitions: readonly OwnedPartition[]): Promise<void> {
    await Promise.all(
      partitions.map(async (partition) => {
        const { pull } = partition;
        if (pull === undefined) return;
        const info = await this.#shared.api.consumerInfo(pull.stream, pull.consumer).catch(() => undefined); // then the ack wait brings it
        if (info === undefined || partition.pull !== pull || partition.state !== "reading") return;
        if (info.delivered.consumer_seq >= partition.consumerNext) this.#listener.broken(partition);
      }),
    );
  }

  /** What its stream has passed by, when nothing of it waits; true: something waited and is gone, and nobody said so. */
  async passed(
    partition: OwnedPartition,
    state: { readonly first_seq: number; readonly last_seq: number },
  ): Promise<boolean> {
    const { pull } = partition;
    if (pull === undefined || state.last_seq <= partition.next) return false;
    const info = await this.#shared.api.consumerInfo(pull.stream, pull.consumer);
    if (info === undefined || partition.pull !== pull) return false;
    // what came and has no room yet is not under way, and does not wait at the server
    const held = this.#puller.heldOf(pull);
    const delivered = info.delivered.consumer_seq;
    if (delivered >= partition.consumerNext + held) return false;
    const { seenTo, said, next, pending = 0 } = partition;
    const isNow = delivered === partition.consumerNext + held - 1; // or something came after it was answered
    const waited = isNow && pending > held;
    const behind = state.first_seq > Math.max(seenTo, said) + 1;
    if (isNow) partition.pending = info.num_pending + held;
    const filters = filtersOf(info.config);
    const nothing =
      info.num_pending === 0 &&
      (await nothingBetween(this.#shared.api, pull.stream, filters, next + 1, state.last_seq));
    if (partition.pull !== pull) return false; // what it gave back meanwhile is behind its place
    // what came and waits for room is here, though retention may have taken it since
    const passes = nothing && this.#puller.heldOf(pull) === 0;
    if (passes) partition.passed(state.last_seq);
    if (!behind) return false;
    partition.said = state.first_seq - 1;
    return info.num_pending > 0 || waited || seenTo < (passes ? partition.next : next); // what waited was not delivered
  }

  close(): void {
    this.#puller.close();
    this.#waiting.clear();
  }

  #arrived(messages: readonly NatsMessage[], pull: Pull): void {
    const partition = this.#partitions.get(pull);
    if (partition === undefined || partition.state !== "reading") return this.#puller.free(messages);
    const fresh: NatsMessage[] = [];
    for (const [index, message] of messages.entries()) {
      const what = partition.take(message);
      if (what === "new") fresh.push(message);
      else if (what === "gap") {
        this.#puller.free(messages.slice(index));
        this.#hand(partition, fresh);
        return this.#listener.broken(partition);
      } else {
        if (what === "settled") this.#settler.ack([message]);
        this.#puller.free([message]);
      }
    }
    this.#hand(partition, fresh);
  }

  /** At once what certainly has no note; nothing overtakes one that has to be looked for. */
  #hand(partition: OwnedPartition, messages: readonly NatsMessage[]): void {
    if (messages.length === 0) return;
    const before = this.#waiting.get(partition);
    if (before !== undefined) return void before.push(...messages);
    const first = messages.findIndex((message) => mayHaveNote(partition, message));
    if (first !== 0) this.#listener.deliver(first < 0 ? messages : messages.slice(0, first));
    if (first < 0) return;
    this.#waiting.set(partition, messages.slice(first));
    void this.#readNotes(partition);
  }

  async #readNotes(partition: OwnedPartition): Promise<void> {
    for (;;) {
      const batch = this.#waiting.get(partition)?.splice(0) ?? [];
      if (batch.length === 0 || partition.state === "over") return void this.#waiting.delete(partition);
      const noted = batch.filter((message) => mayHaveNote(partition, message));
      await Promise.all(noted.map((message) => this.#recall(partition, message)));
      const ours = batch.filter(({ over }) => !over);
      if (ours.length > 0) this.#listener.deliver(ours);
    }
  }

  async #recall(partition: OwnedPartition, message: NatsMessage): Promise<void> {
    while (partition.state !== "over") {
      try {
        await this.#settler.recall(message);
        return;
      } catch {
        await this.#shared.members.next(againMs);
      }
    }
  }
}

const mayHaveNote = (partition: OwnedPartition, { delivery, handedBefore, sequence }: NatsMessage): boolean =>
  delivery.delivered > 1 || handedBefore > 0 || partition.notes.has(sequence);
