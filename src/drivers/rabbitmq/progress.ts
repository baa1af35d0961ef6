import type { GroupDefinition } from "./definition-fold.ts";
import type { RabbitMessage } from "./message.ts";

const remembered = 4_096;
/** A message may have been routed a while after the time that its publisher gave it. */
const slackMs = 5_000;

/** How far a member is, so that a group that is lost under it goes on from there. */
export class Progress {
  /** Ids that were settled lately. */
  readonly settled: Set<string> = new Set();
  /** Of each stream: when the last one that was handed out was published. */
  readonly reached: Map<string, number> = new Map();

  settle({ id }: RabbitMessage): void {
    this.settled.add(id);
    if (this.settled.size > remembered) this.settled.delete(this.settled.values().next().value!);
  }

  reach(label: string, { publishedAt }: RabbitMessage): void {
    this.reached.set(label, Math.max(this.reached.get(label) ?? 0, publishedAt));
  }

  /** Before all that is unsettled; where the group began, while nothing was handed out. */
  since({ createdAt, lanes }: GroupDefinition, unsettled: Iterable<RabbitMessage>): number {
    const begins = Object.values(lanes).map(({ from }) =>
      from !== undefined && "time" in from ? from.time : createdAt - slackMs,
    );
    const begin = Math.min(createdAt, ...begins);
    let since = Math.max(begin, ...this.reached.values());
    for (const { publishedAt } of unsettled) if (publishedAt > 0) since = Math.min(since, publishedAt);
    return Math.max(begin, since - slackMs);
  }
}
