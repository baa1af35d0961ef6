import type { Window } from "../../driver.ts";
import type { Definitions } from "./definitions.ts";
import type { FeedSource } from "./feed.ts";

/** How much an owner of a partition may have of the server at least: its credit can't be changed later. */
const orderedPrefetch = 256;

/** Of an ordered group. Of what is dropped above a size little is in hand, and so out of it. */
export function prefetchOf(definitions: Definitions, source: FeedSource, { messages }: Window): number {
  const stream = definitions.streams.get(source.label);
  if (stream?.whenFull === "drop-oldest" && stream.maxMessages !== undefined)
    return Math.max(
      Math.min(messages, orderedPrefetch),
      Math.min(Math.floor(stream.maxMessages / 10), orderedPrefetch),
    );
  return Math.max(orderedPrefetch, Math.min(messages, 1_024));
}
