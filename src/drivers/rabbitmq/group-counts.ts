import type { GroupDefinition } from "./definition-fold.ts";
import type { Definitions } from "./definitions.ts";
import { isMissing } from "./errors.ts";
import type { Groups } from "./groups.ts";
import type { Session } from "./session.ts";

export interface LaneCount {
  /** Events that are ready in its queues, the driver's own aside. */
  readonly ready: number;
  readonly consumers: number;
}

/** What waits for a group, by stream and in its own lane; empty where its queues are not there. */
export class GroupCounts {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #groups: Groups;

  constructor(session: Session, definitions: Definitions, groups: Groups) {
    this.#session = session;
    this.#definitions = definitions;
    this.#groups = groups;
  }

  /** Of one stream alone, where one is named. */
  async of(definition: GroupDefinition, stream?: string): Promise<ReadonlyMap<string, LaneCount>> {
    const sources = this.#groups.sourcesOf(definition).filter(({ label }) => stream === undefined || label === stream);
    const counts = new Map<string, LaneCount>();
    let states;
    try {
      states = await this.#session.ask((channel) => Promise.all(sources.map(({ queue }) => channel.checkQueue(queue))));
    } catch (error) {
      if (isMissing(error)) return counts; // being deleted, or never finished
      throw error;
    }
    for (const [index, { label, partition }] of sources.entries()) {
      const { messageCount, consumerCount } = states[index]!;
      const token = consumerCount === 0 && messageCount > 0 && this.#hasToken(definition, label, partition) ? 1 : 0;
      const before = counts.get(label) ?? { ready: 0, consumers: 0 };
      counts.set(label, {
        ready: before.ready + messageCount - token,
        consumers: before.consumers + consumerCount,
      });
    }
    for (const [label, count] of counts) {
      const past = await this.#past(definition, label);
      if (past > 0) counts.set(label, { ...count, ready: count.ready + past });
    }
    return counts;
  }

  /** It stands at the head of a partition whose past nobody has handled, until it is as old as that. */
  #hasToken(
    { id, lanes, createdAt, madeAt = createdAt }: GroupDefinition,
    stream: string,
    partition: number | undefined,
  ): boolean {
    const stored = this.#definitions.streams.get(stream);
    return (
      partition !== undefined &&
      stored !== undefined &&
      lanes[stream]?.from !== undefined &&
      madeAt + stored.maxAgeMs > this.#session.clock.now() &&
      !this.#definitions.isCaughtUp(id, stream, partition)
    );
  }

  /** What an ordered group has of the past, before its partitions' queues. */
  async #past({ id, spec }: GroupDefinition, stream: string): Promise<number> {
    let count = 0;
    for (const partition of this.#definitions.replay(id, stream)?.history ?? []) {
      if (this.#definitions.isCaughtUp(id, stream, partition)) continue;
      const queue = this.#session.names.history(spec.group, id, stream, partition);
      const state = await this.#session.ask((channel) => channel.checkQueue(queue)).catch(() => undefined); // deleted when it was handled
      if (state !== undefined) count += Math.max(state.messageCount - 1, 0); // without its end
    }
    return count;
  }
}
