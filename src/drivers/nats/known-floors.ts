import { partitionKey } from "./partition-key.ts";
import type { GroupDefinition } from "./group-plan.ts";
import { startIn } from "./group-start.ts";
import { groupOfSeat } from "./roster.ts";
import type { Shared } from "./shared.ts";
import type { OwnerEntry } from "./sweeping.ts";

export type KnownFloors = ReadonlyMap<string, { readonly floor: number; readonly created: string }>;

/** How far an ordered group is in each partition, as far as it is known here; others' as of their last renewal. */
export function knownFloors(
  { streams, members }: Pick<Shared, "streams" | "members">,
  { group, first, reads, starts }: GroupDefinition,
  owners: ReadonlyMap<string, OwnerEntry>,
): KnownFloors {
  const floors = new Map<string, { readonly floor: number; readonly created: string }>();
  for (const { stream } of reads) {
    const facts = streams.get(stream);
    for (let number = 0; number < (facts?.partitions ?? 0); number += 1) {
      const key = partitionKey(stream, number);
      const { created } = facts!;
      const start = startIn(starts, stream, number, created);
      const entry = owners.get(key)?.owner;
      const known = entry?.first === first && entry.created === created ? entry.floor : undefined;
      const floor = known ?? ("sequence" in start ? start.sequence - 1 : undefined);
      if (floor !== undefined) floors.set(key, { floor, created });
    }
  }
  for (const { entry } of members.entries())
    for (const [key, said] of Object.entries(entry.floors ?? {})) {
      if (groupOfSeat(key) !== group || said.first !== first) continue;
      for (const [partition, floor] of Object.entries(said.floors)) {
        const known = floors.get(partition);
        if (known !== undefined && known.floor < floor) floors.set(partition, { ...known, floor });
      }
    }
  return floors;
}
