import type { InHand, Pending } from "./in-hand.ts";
import { compareIds } from "./id.ts";
import type { RedisMessage } from "./message.ts";
import { textsOf } from "./reply.ts";
import type { Seat } from "./seat.ts";
import { leaveScript } from "./scripts/leave.ts";
import { resyncScript } from "./scripts/resync.ts";

const atOnce = 1_000;

/** What is handed back as if it had never been handed out. */
export function pendingOf(messages: Iterable<RedisMessage>): readonly Pending[] {
  return [...messages].map(({ ref, id, deliveries }) => ({ ref: ref!, id: id!, count: deliveries - 1 }));
}

/** Hands back with these counts, gives up partitions, and quits when all of it is done. */
export async function leave(
  seat: Seat,
  quit: boolean,
  refs: readonly string[],
  pending: readonly Pending[],
): Promise<void> {
  for (let from = 0; ; from += atOnce) {
    const last = from + atOnce >= pending.length;
    const runs = new Map<string, string[]>();
    for (const { ref, id, count } of pending.slice(from, from + atOnce)) {
      const run = runs.get(ref);
      if (run === undefined) runs.set(ref, [id, String(count)]);
      else run.push(id, String(count));
    }
    const args = [...runs].flatMap(([ref, run]) => [ref, String(run.length / 2), ...run]);
    const given = last ? refs : [];
    await seat.run(leaveScript, [quit && last ? "1" : "", String(given.length), ...given, ...args]);
    if (last) return;
  }
}

/**
 * Hands back what the server holds for the seat and nobody here has. `settled`: ref and id of what had been in hand when it was
 * asked. The lowest id of each partition of it.
 */
export async function lostAnswers(
  seat: Seat,
  hand: InHand,
  settled: ReadonlySet<string>,
): Promise<ReadonlyMap<string, string>> {
  const texts = textsOf(await seat.run(resyncScript));
  const pending: Pending[] = [];
  for (let at = 0; at < texts.length; at += 3)
    pending.push({ ref: texts[at]!, id: texts[at + 1]!, count: Number(texts[at + 2]) - 1 });
  const missing = hand.missing(pending).filter(({ ref, id }) => !settled.has(`${ref} ${id}`));
  const lowest = new Map<string, string>();
  for (const { ref, id } of missing) {
    const known = lowest.get(ref);
    if (known === undefined || compareIds(id, known) < 0) lowest.set(ref, id);
  }
  if (missing.length > 0) await leave(seat, false, [], missing);
  return lowest;
}
