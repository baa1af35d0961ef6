import type { Entry } from "./journal.ts";

export interface Published {
  readonly id: string;
  readonly key: string;
  /** Grows with each publish. */
  readonly number: number;
}

export interface Findings {
  /** Each thing that is wrong; none: proven. */
  readonly problems: readonly string[];
  /** Different ids handled in the end. */
  readonly handled: number;
  /** Runs of a handler beyond the first success, after a worker was killed. */
  readonly repeated: number;
  readonly failed: number;
  readonly rejected: number;
  readonly keys: number;
}

/**
 * Whether one group handled every published event, none that nobody published, and each key in order. Ids are compared,
 * not counts. An event that was handled by a killed worker may be handled again by the next one, and the events after it,
 * too; within one worker nothing comes twice, a failed event is tried again before the next of its key, and the first
 * handlings of all workers together are in the order of publishing. A dead letter keeps its place by being rejected; its
 * replay comes by the group's queue, for which no order is promised.
 */
export function check(published: readonly Published[], entries: readonly Entry[]): Findings {
  const problems: string[] = [];
  const known = new Map(published.map((event) => [event.id, event]));
  const handled = new Set<string>();
  const rejected = new Set<string>();
  const lastOf = new Map<string, Entry>(); // worker and key → what it did last
  const highest = new Map<string, Entry>(); // key → the latest event settled so far
  const settled = new Set<string>();
  let repeated = 0;
  let failed = 0;

  // The journals of earlier workers come first; the order within a journal is that of its handlers.
  for (const entry of entries.toSorted((a, b) => a.worker - b.worker)) {
    const { id, key, number, worker, outcome } = entry;
    const event = known.get(id);
    if (event === undefined || event.key !== key || event.number !== number) {
      problems.push(`invented: ${id} (${key}, number ${number}) was handled, but never published like this`);
      continue;
    }
    const replayed = outcome === "handled" && rejected.has(id);
    if (outcome === "failed") failed += 1;
    else if (outcome === "rejected") rejected.add(id);
    else if (handled.has(id)) repeated += 1;
    if (replayed && handled.has(id)) problems.push(`twice: ${key}: the replay of number ${number} was handled twice`);
    if (outcome === "handled") handled.add(id);
    if (replayed) continue;

    const place = `${worker} ${key}`;
    const before = lastOf.get(place);
    lastOf.set(place, entry);
    if (before?.outcome === "failed" && before.id !== id) {
      problems.push(
        `order: ${key}: number ${number} overtook ${before.number}, which had failed and was to be retried`,
      );
    } else if (before !== undefined && before.id === id && before.outcome !== "failed") {
      problems.push(`twice: ${key}: number ${number} was handled twice by worker ${worker}`);
    } else if (before !== undefined && before.number > number) {
      problems.push(`order: ${key}: number ${number} came after ${before.number} in worker ${worker}`);
    }
    if (outcome === "failed" || settled.has(id)) continue;
    settled.add(id);
    const latest = highest.get(key);
    if (latest === undefined || latest.number < number) highest.set(key, entry);
    else if (latest.worker !== worker) {
      problems.push(
        `order: ${key}: number ${number} came in worker ${worker}, after ${latest.number} in worker ${latest.worker}`,
      );
    }
  }
  for (const { id, key, number } of published) {
    if (!handled.has(id)) problems.push(`missing: ${id} (${key}, number ${number}) was not handled`);
  }
  return { problems, handled: handled.size, repeated, failed, rejected: rejected.size, keys: highest.size };
}
