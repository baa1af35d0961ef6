import { balance } from "../../internal/partition-balance.ts";

export interface Partitioned {
  readonly stream: string;
  readonly partitions: number;
}

export const partitionKey = (stream: string, partition: number): string => `${stream}/${partition}`;

/**
 * Who should own which partition, over all streams of a group: partitions of one number belong together in streams that have
 * as many, so that a key is with one member in all of them. Pure: the same input gives the same answer in every process.
 */
export function assign(
  streams: readonly Partitioned[],
  members: readonly string[],
  owners: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const assigned = new Map<string, string>();
  const counts = new Set(streams.map(({ partitions }) => partitions));
  const alive = new Set(members);
  for (const count of counts) {
    const alike = streams
      .filter(({ partitions }) => partitions === count)
      .map(({ stream }) => stream)
      .toSorted();
    const numbers = Array.from({ length: count }, (_, number) => number);
    const current = new Map<number, string>();
    for (const number of numbers) {
      const owner = alike
        .map((stream) => owners.get(partitionKey(stream, number)))
        .find((each) => each !== undefined && alive.has(each));
      if (owner !== undefined) current.set(number, owner);
    }
    const next = balance(numbers, members, current);
    for (const [number, member] of next) for (const stream of alike) assigned.set(partitionKey(stream, number), member);
  }
  return assigned;
}

/** What `member` has to do about it. `alive`: those that may still have something in hand, whether they take part or not. */
export function moves(
  assigned: ReadonlyMap<string, string>,
  owners: ReadonlyMap<string, string>,
  alive: ReadonlySet<string>,
  member: string,
): { readonly take: readonly string[]; readonly give: readonly string[] } {
  const take: string[] = [];
  const give: string[] = [];
  for (const [key, next] of assigned) {
    const owner = owners.get(key);
    if (next === member && owner !== member && (owner === undefined || !alive.has(owner))) take.push(key);
    else if (next !== member && owner === member) give.push(key);
  }
  return { take, give };
}
