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
    await seat.run(leaveScript, [quit && last ? seat.heard.join(" ") : "", String(given.length), ...given, ...args]);
    if (last) return;
  }
}

export interface LostAnswers {
  /** How many messages the seat was told are lost, and how often that of a number that is not known. */
  readonly told: readonly [count: number, unknown: number];
  /** What the server holds for the seat and nobody here has. */
  readonly missing: readonly Pending[];
}

/** `settled`: ref and id of what had been in hand when it was asked. */
export async function lostAnswers(seat: Seat, hand: InHand, settled: ReadonlySet<string>): Promise<LostAnswers> {
  const texts = textsOf(await seat.run(resyncScript));
  const pending: Pending[] = [];
  for (let at = 2; at < texts.length; at += 3)
    pending.push({ ref: texts[at]!, id: texts[at + 1]!, count: Number(texts[at + 2]) - 1 });
  const missing = hand.missing(pending).filter(({ ref, id }) => !settled.has(`${ref} ${id}`));
  return { told: [Number(texts[0]), Number(texts[1])], missing };
}

/** Ref → the lowest id. */
export function lowestOf(pending: readonly Pending[]): ReadonlyMap<string, string> {
  const lowest = new Map<string, string>();
  for (const { ref, id } of pending) {
    const known = lowest.get(ref);
    if (known === undefined || compareIds(id, known) < 0) lowest.set(ref, id);
  }
  return lowest;
}
