import { balance } from "../../internal/partition-balance.ts";

/**
 * Who should own which partition, over all lanes of a group: partitions of one number belong together in lanes that have as many,
 * so that a key is with one member in all of them. Pure: the same input gives the same answer in every process.
 */
export function assign(
  lanes: ReadonlyMap<string, number>,
  seats: readonly string[],
  owners: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const assigned = new Map<string, string>();
  const alive = new Set(seats);
  for (const count of new Set(lanes.values())) {
    const alike = [...lanes.keys()].filter((lane) => lanes.get(lane) === count).toSorted();
    const numbers = Array.from({ length: count }, (_, number) => number);
    const current = new Map<number, string>();
    for (const number of numbers) {
      const owner = alike
        .map((lane) => owners.get(`${lane}:${number}`))
        .find((seat) => seat !== undefined && alive.has(seat));
      if (owner !== undefined) current.set(number, owner);
    }
    for (const [number, seat] of balance(numbers, seats, current))
      for (const lane of alike) assigned.set(`${lane}:${number}`, seat);
  }
  return assigned;
}

/** What this seat has to do about it: free ones to take, its own to give up as soon as nothing of them runs. */
export function moves(
  assigned: ReadonlyMap<string, string>,
  owners: ReadonlyMap<string, string>,
  seat: string,
): { readonly take: readonly string[]; readonly give: readonly string[] } {
  const take: string[] = [];
  const give: string[] = [];
  for (const [ref, next] of assigned) {
    const owner = owners.get(ref);
    if (next === seat && owner === undefined) take.push(ref);
    else if (next !== seat && owner === seat) give.push(ref);
  }
  return { take, give };
}
