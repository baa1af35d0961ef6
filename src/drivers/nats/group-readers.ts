import type { Bucket } from "./bucket.ts";
import { consumerNames } from "./consumer-names.ts";
import { type GroupDefinition, isOrdered } from "./group-plan.ts";
import { oldest, type Start, startIn } from "./group-start.ts";
import { keys, type Names, queueLane } from "./names.ts";
import type { Owner, Range } from "./owner.ts";
import type { Session } from "./session.ts";
import { ownerEntry } from "./sweeping.ts";
import type { Streams } from "./streams.ts";

interface Parts {
  readonly session: Session;
  readonly bucket: Bucket;
  readonly streams: Streams;
}

/** One place that a group reads: a consumer, or where its next one will begin. */
export interface GroupReader {
  /** JetStream's name of the stream. */
  readonly native: string;
  /** Ours; undefined: the group's queue. */
  readonly stream: string | undefined;
  /** Undefined: nobody has read yet, or its last owner has left. */
  readonly consumer: string | undefined;
  readonly filters: readonly string[];
  readonly start: Start;
  /** From here on another one reads. */
  readonly end: number | undefined;
  /** Settled behind the start. */
  readonly done: readonly Range[];
}

/** Everything that a group reads, its queue included. */
export async function readersOf(parts: Parts, definition: GroupDefinition): Promise<readonly GroupReader[]> {
  return isOrdered(definition) ? await ordered(parts, definition) : unordered(parts, definition);
}

function unordered({ session, streams }: Parts, definition: GroupDefinition): readonly GroupReader[] {
  const readers: GroupReader[] = [
    { ...queueOf(session.names, definition), consumer: consumerNames.queue(definition), start: oldest, done: [] },
  ];
  for (const part of definition.parts) {
    const facts = streams.get(part.stream);
    if (facts?.created !== part.created) continue; // its stream is gone
    readers.push({
      native: facts.native,
      stream: part.stream,
      consumer: consumerNames.part(definition, part),
      filters: part.patterns.map((pattern) => facts.filter(pattern)),
      start: part.start,
      end: part.end,
      done: [],
    });
  }
  return readers;
}

async function ordered(
  { session, bucket, streams }: Parts,
  definition: GroupDefinition,
): Promise<readonly GroupReader[]> {
  const { group, first, starts } = definition;
  const owners = new Map<string, Owner>();
  for (const entry of await bucket.list(keys.owners(group))) {
    const found = ownerEntry(entry);
    if (found !== undefined) owners.set(found.key, found.owner);
  }
  const ownerOf = (stream: string, partition: number): Owner | undefined => {
    const owner = owners.get(keys.owner(group, stream, partition));
    return owner?.first === first ? owner : undefined;
  };
  const read = (owner: Owner | undefined, partition: number, start: Start) => ({
    consumer:
      owner === undefined || owner.reader === 0 ? undefined : consumerNames.epoch(definition, partition, owner.reader),
    start: typeof owner?.floor === "number" ? { sequence: owner.floor + 1 } : start,
    done: owner?.done ?? [],
  });
  const readers: GroupReader[] = [{ ...queueOf(session.names, definition), ...read(ownerOf(queueLane, 0), 0, oldest) }];
  for (const { stream, patterns } of definition.reads) {
    const facts = streams.get(stream);
    if (facts === undefined) continue;
    for (let partition = 0; partition < facts.partitions; partition += 1) {
      const owner = ownerOf(stream, partition);
      const start = startIn(starts, stream, partition, facts.created);
      readers.push({
        native: facts.native,
        stream,
        filters: patterns.map((pattern) => facts.filter(pattern, partition)),
        end: undefined,
        ...read(owner?.created === facts.created ? owner : undefined, partition, start),
      });
    }
  }
  return readers;
}

const queueOf = (names: Names, { group }: GroupDefinition): Omit<GroupReader, "consumer" | "start" | "done"> => ({
  native: names.queue,
  stream: undefined,
  filters: [names.queueFilter(group)],
  end: undefined,
});
