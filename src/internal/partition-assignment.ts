import { balance } from "./partition-balance.ts";

/**
 * Who should own which partition, over all lanes of a group: partitions of one number belong together in lanes that have as many,
 * so that a key is with one member in all of them. `refOf` names a partition, in `owners` and in what comes back. Pure: the same
 * input gives the same answer in every process.
 */
export function assign(
  lanes: ReadonlyMap<string, number>,
  members: readonly string[],
  owners: ReadonlyMap<string, string>,
  refOf: (lane: string, partition: number) => string,
): ReadonlyMap<string, string> {
  const assigned = new Map<string, string>();
  const alive = new Set(members);
  for (const count of new Set(lanes.values())) {
    const alike = [...lanes.keys()].filter((lane) => lanes.get(lane) === count).toSorted();
    const numbers = Array.from({ length: count }, (_, number) => number);
    const current = new Map<number, string>();
    for (const number of numbers) {
      const owner = alike
        .map((lane) => owners.get(refOf(lane, number)))
        .find((each) => each !== undefined && alive.has(each));
      if (owner !== undefined) current.set(number, owner);
    }
    for (const [number, member] of balance(numbers, members, current))
      for (const lane of alike) assigned.set(refOf(lane, number), member);
  }
  return assigned;
}

/** What `member` has to do about it: free ones to take, its own to give up as soon as nothing of them runs. */
export function moves(
  assigned: ReadonlyMap<string, string>,
  owners: ReadonlyMap<string, string>,
  member: string,
  isFree: (owner: string | undefined) => boolean,
): { readonly take: readonly string[]; readonly give: readonly string[] } {
  const take: string[] = [];
  const give: string[] = [];
  for (const [ref, next] of assigned) {
    const owner = owners.get(ref);
    if (next === member && owner !== member && isFree(owner)) take.push(ref);
    else if (next !== member && owner === member) give.push(ref);
  }
  return { take, give };
}
