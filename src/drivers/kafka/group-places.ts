import { begunIn } from "./attached-group.ts";
import { type GroupEntry, sinceOf, type TopicStart } from "./control-fold.ts";
import type { Committed } from "./coordinator.ts";
import { parseLedger } from "./ledger-text.ts";
import type { Shared } from "./shared.ts";

/** Where a group stands in a stream's partitions: by what its owners committed, or where it begins. */
export function groupPlaces(
  entry: GroupEntry,
  { stream, topicId, partitions }: { readonly stream: string; readonly topicId: string; readonly partitions: number },
  committed: ReadonlyMap<number, Committed> | undefined,
): readonly number[] {
  return Array.from({ length: partitions }, (_, partition) => {
    const found = committed?.get(partition);
    const kept = found === undefined ? undefined : parseLedger(found.offset, found.text, topicId);
    if (kept !== undefined && kept.revision >= sinceOf(entry, stream, partition)) return found!.offset;
    return begunIn(entry, entry.starts[stream], topicId, partition, found);
  });
}

/** The same of all streams that it reads and that are there. */
export async function allPlaces(entry: GroupEntry, { session, groups }: Shared): Promise<Record<string, TopicStart>> {
  const { cluster, control, names } = session;
  const places: Record<string, TopicStart> = {};
  const committed = await groups.committed(names.group(entry.spec.group));
  for (const { stream } of entry.spec.reads) {
    const partitions = control.fold.streams.get(stream)?.options.partitions;
    const topic = names.stream(stream);
    const topicId = partitions === undefined ? undefined : await cluster.topicIdNow(topic);
    if (partitions === undefined || topicId === undefined) continue;
    places[stream] = { topicId, offsets: groupPlaces(entry, { stream, topicId, partitions }, committed.get(topic)) };
  }
  return places;
}
