import { newest } from "./cluster.ts";
import type { TopicStart } from "./control-fold.ts";
import type { Session } from "./session.ts";
import { ownMessageBytes } from "./own-topics.ts";

/** The lanes of groups: a topic each, made when the group is, or when something is sent to it before. */
export class Queues {
  readonly #session: Session;
  readonly #making = new Map<string, Promise<number>>();

  constructor(session: Session) {
    this.#session = session;
  }

  /** Undefined: it was not asked yet whether there is one. */
  partitions(group: string): number | undefined {
    const { cluster, names } = this.#session;
    return cluster.topology.place(names.queue(group))?.partitions;
  }

  /** How many partitions it has; 0: there is none. */
  async look(group: string): Promise<number> {
    const known = this.partitions(group);
    if (known !== undefined) return known;
    const { cluster, names } = this.#session;
    cluster.topology.watch(names.queue(group));
    await cluster.topology.refresh();
    return this.partitions(group) ?? 0;
  }

  /** How many partitions it has; one that is there is as good. */
  make(group: string): Promise<number> {
    const known = this.partitions(group);
    if (known !== undefined) return Promise.resolve(known);
    let making = this.#making.get(group);
    if (making === undefined) {
      making = this.#make(group).finally(() => this.#making.delete(group));
      this.#making.set(group, making);
    }
    return making;
  }

  async #make(group: string): Promise<number> {
    const { cluster, names, options, context } = this.#session;
    const topic = names.queue(group);
    cluster.topology.watch(topic);
    await cluster.topology.refresh();
    const there = cluster.topology.place(topic)?.partitions;
    if (there !== undefined || context.manage !== "create") return there ?? options.queuePartitions;
    await cluster.createTopics([
      this.#session.ownTopic(topic, options.queuePartitions, {
        "segment.ms": "3600000",
        "max.message.bytes": ownMessageBytes,
      }),
    ]);
    return cluster.topology.place(topic)?.partitions ?? options.queuePartitions;
  }

  /** What is below is a former group's. */
  async end(group: string): Promise<TopicStart | undefined> {
    const partitions = await this.look(group);
    if (partitions === 0) return undefined;
    const { cluster, names } = this.#session;
    const topic = names.queue(group);
    const places = Array.from({ length: partitions }, (_, partition) => ({ topic, partition, at: newest }));
    const offsets = await cluster.offsets(places);
    return { topicId: await cluster.topicId(topic), offsets };
  }

  async delete(group: string): Promise<void> {
    const { cluster, names } = this.#session;
    await cluster.deleteTopics([names.queue(group)]);
  }
}
