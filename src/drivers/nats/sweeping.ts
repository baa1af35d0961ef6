import type { BucketEntry } from "./bucket.ts";
import { consumerNames } from "./consumer-names.ts";
import type { Defined } from "./definition.ts";
import { nativeOf } from "./group-consumers.ts";
import { type GroupDefinition, isOrdered } from "./group-plan.ts";
import { keys, queueLane } from "./names.ts";
import type { OwnedPartition } from "./owned-partition.ts";
import { type Owner, takeOver } from "./owner.ts";
import { PartitionStore, patternsOf } from "./partition-store.ts";
import { seenKey } from "./seen.ts";
import type { Shared } from "./shared.ts";

const waitMs = 20;
const againMs = 250;

export interface OwnerEntry {
  readonly key: string;
  readonly stream: string;
  readonly partition: number;
  readonly owner: Owner;
  readonly revision: number;
}

/** The owners' entries of a group, of whatever incarnation. */
export async function ownersOf(shared: Shared, group: string): Promise<readonly OwnerEntry[]> {
  const entries = await shared.bucket.list(keys.owners(group));
  return entries.map((entry) => ownerEntry(entry)).filter((entry) => entry !== undefined);
}

export function ownerEntry({ key, value, revision }: BucketEntry): OwnerEntry | undefined {
  const [, , stream, partition] = key.split(".");
  if (value === undefined || stream === undefined || partition === undefined) return undefined;
  try {
    const owner = JSON.parse(new TextDecoder().decode(value)) as Owner;
    return { key, stream, partition: Number(partition), owner, revision };
  } catch {
    return undefined; // another program's
  }
}

/**
 * Deletes what a definition does not name any more: consumers, owners' entries of another incarnation, and when asked the notes
 * and what waits in the queue. What a crash leaves is done by the next one. How many messages of the queue went.
 */
export async function sweep(
  shared: Shared,
  { definition, revision }: Defined,
  also: { readonly notes: boolean; readonly queue: boolean },
): Promise<number> {
  const { api, bucket, definitions, session } = shared;
  const { group } = definition;
  const deletions = definition.dropped.map(([stream, part]) =>
    api.deleteConsumer(nativeOf(shared, stream), consumerNames.part(definition, { revision: part })),
  );
  if (definition.gone === true || isOrdered(definition))
    deletions.push(api.deleteConsumer(session.names.queue, consumerNames.queue(definition)));
  await Promise.all(deletions);
  const valid = definition.gone === true ? -1 : definition.first;
  await Promise.all(
    (await ownersOf(shared, group)).map(async ({ key, stream, partition, owner, revision: entry }) => {
      if (owner.first === valid) return;
      const epochs = owner.reader === 0 ? owner.old : [...owner.old, owner.reader];
      for (const epoch of epochs) {
        const name = consumerNames.epoch({ group, first: owner.first }, partition, epoch);
        await api.deleteConsumer(nativeOf(shared, stream), name);
      }
      await bucket.delete(key, entry);
    }),
  );
  if (definition.gone === true)
    for (const { key, revision: entry } of await bucket.list(seenKey(group, "*"), true))
      await bucket.delete(key, entry);
  if (also.notes) await api.purge(session.names.notes, { filter: session.names.noteFilter(group) });
  const purged = also.queue ? await api.purge(session.names.queue, { filter: session.names.queueFilter(group) }) : 0;
  if (definition.dropped.length > 0) await definitions.swap({ ...definition, dropped: [] }, revision);
  return purged;
}

/** Resolves when no owner reads by an older definition: each made its consumer anew, or owns no longer. */
export async function spread(shared: Shared, definition: GroupDefinition): Promise<void> {
  const { members } = shared;
  for (;;) {
    const behind = (await ownersOf(shared, definition.group)).filter(
      ({ stream, owner }) =>
        stream !== queueLane &&
        owner.first === definition.first &&
        owner.member !== null &&
        definition.reads.some((read) => read.stream === stream) &&
        owner.patterns !== patternsOf(definition, stream),
    );
    if (behind.length === 0) return;
    for (const { stream, partition, owner } of behind) {
      if (members.alive(owner.member!)) continue;
      const store = new PartitionStore(shared, definition.group, stream, partition);
      await takeOver(store, null, ({ epoch }) => epoch === owner.epoch);
    }
    await members.next(waitMs);
  }
}

/**
 * A partition that drains reads no more, so it passes nothing over: its entry says what the definition says, and whoever adds
 * patterns need not wait for its handlers.
 */
export async function adopt(shared: Shared, partition: OwnedPartition, patterns: () => string): Promise<void> {
  const { store, owned } = partition;
  while (partition.state === "draining") {
    try {
      const found = await store.read();
      const wanted = patterns();
      if (found?.owner.member !== owned.owner.member || found.owner.epoch !== owned.owner.epoch) return;
      if (found.owner.patterns === wanted) return;
      await store.swap({ ...found.owner, patterns: wanted }, found.revision);
    } catch {
      await shared.members.next(againMs); // disconnected
    }
  }
}
