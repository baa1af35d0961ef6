import type { GroupDefinition } from "./definition-fold.ts";
import type { RabbitMessage } from "./message.ts";

const remembered = 4_096;
/** A message may have been routed a while after the time that its publisher gave it. */
const slackMs = 5_000;

/** How far a member is, so that a group that is lost under it goes on from there. */
export class Progress {
  /** Ids that were settled lately; two sets, since to take the first out of one again and again is to walk over all that went. */
  #young = new Set<string>();
  #old = new Set<string>();
  /** Of each stream: when the last one that was handed out was published. */
  readonly reached: Map<string, number> = new Map();

  get settled(): ReadonlySet<string> {
    return new Set([...this.#old, ...this.#young]);
  }

  settle({ id }: RabbitMessage): void {
    this.#young.add(id);
    if (this.#young.size < remembered) return;
    this.#old = this.#young;
    this.#young = new Set();
  }

  reach(label: string, { publishedAt }: RabbitMessage): void {
    if (publishedAt > (this.reached.get(label) ?? -1)) this.reached.set(label, publishedAt);
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
