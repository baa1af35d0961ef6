import type { Feed } from "./feed.ts";
import type { Holding } from "./presence.ts";
import type { Progress } from "./progress.ts";

/** What a member has in hand, for those who ask. */
export function holdingOf(group: string, feeds: Iterable<Feed>, progress: Progress): Holding {
  let [given, buffered, parked] = [0, 0, 0];
  for (const feed of feeds) {
    given += feed.given.size;
    parked += feed.parked;
    buffered += [...feed.held()].length - feed.given.size - feed.parked;
  }
  return { group, given, buffered, parked, reached: Object.fromEntries(progress.reached) };
}
