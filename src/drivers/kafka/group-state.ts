import type { GroupState, Member } from "../../driver.ts";
import type { Shares } from "./assignor.ts";
import { newest, oldest } from "./cluster.ts";
import { placeIn } from "./attach.ts";
import { begunIn } from "./attached-group.ts";
import { type GroupEntry, sinceOf, startIn } from "./control-fold.ts";
import { readHeaders } from "./headers.ts";
import { parseLedger } from "./ledger-text.ts";
import { foreignTopic } from "./message.ts";
import { parseRef, queueLane } from "./names.ts";
import type { FetchedRecord } from "./record-batch.ts";
import type { RecordReader } from "./record-reader.ts";
import type { Shared } from "./shared.ts";
import { TopicFilter } from "./topic-filter.ts";
import type { Delayed } from "./waiting-delays.ts";

/** As of the owners' last commits; what waits is an upper bound where the group does not read all of a stream. */
export async function groupState(
  shared: Shared,
  entry: GroupEntry,
  reader: RecordReader,
  delayed: readonly Delayed[],
): Promise<GroupState> {
  const { session, groups, queues } = shared;
  const { cluster, control, names, clock } = session;
  const { spec } = entry;
  const lanes = spec.reads.flatMap(({ stream }) => {
    const partitions = control.fold.streams.get(stream)?.options.partitions;
    return partitions === undefined ? [] : [{ topic: names.stream(stream), stream, partitions }];
  });
  const queued = await queues.look(spec.group);
  if (queued > 0) lanes.push({ topic: names.queue(spec.group), stream: queueLane, partitions: queued });
  const committed = await groups.committed(names.group(spec.group));
  const places = lanes.flatMap((lane) =>
    Array.from({ length: lane.partitions }, (_, partition) => ({ ...lane, partition })),
  );
  const ask = (at: number): Promise<readonly number[]> =>
    cluster.offsets(places.map(({ topic, partition }) => ({ topic, partition, at })));
  const [ends, firsts] = await Promise.all([ask(newest), ask(oldest)]);
  const filters = new Map(spec.reads.map(({ stream, patterns }) => [names.stream(stream), new TopicFilter(patterns)]));
  let [waiting, inFlight, scheduled] = [0, 0, 0];
  let oldestAt = Number.POSITIVE_INFINITY;
  for (const [index, { topic, stream, partition }] of places.entries()) {
    const end = ends[index] ?? 0;
    const id = await cluster.topicId(topic);
    const place = committed.get(topic)?.get(partition);
    const parsed = place === undefined ? undefined : parseLedger(place.offset, place.text, id);
    const since = stream === queueLane ? entry.first : sinceOf(entry, stream, partition);
    const kept = parsed !== undefined && parsed.revision >= since ? parsed : undefined;
    const begin = Math.max(
      firsts[index] ?? 0,
      kept === undefined
        ? stream === queueLane
          ? startIn(entry.queue, id, partition)
          : begunIn(entry, entry.starts[stream], id, partition, place)
        : place!.offset,
    );
    const done = (kept?.ranges ?? []).reduce((sum, [from, to]) => sum + to - from, 0);
    const open = Math.max(0, end - begin - done);
    const timed = Math.min(open, kept?.timed ?? 0);
    const held = Math.min(open - timed, (kept?.held ?? 0) - (kept?.timed ?? 0));
    inFlight += held;
    waiting += open - held;
    scheduled += timed;
    if (open - held - timed <= 0) continue;
    const filter = filters.get(topic);
    const read = placeIn(control.fold.streams.get(stream)?.options, "stream", "", stream);
    const isDone = (offset: number): boolean =>
      kept?.ranges.some(([from, to]) => from <= offset && offset < to) === true;
    const found = await wanted(
      reader,
      { topic, partition, begin, end },
      (record) => filter?.matches(readHeaders(record).topic ?? foreignTopic(record, read)) !== false,
      isDone,
    );
    oldestAt = Math.min(oldestAt, found.oldestAt);
    if (found.unwanted > 0) waiting -= Math.min(found.unwanted, open - held - timed);
  }
  const queue = names.queue(spec.group);
  const later = delayed.filter(({ target, topic }) => target === queue || filters.get(target)?.matches(topic) === true);
  waiting += later.length;
  scheduled += later.length;
  const oldestWaitingMs = Number.isFinite(oldestAt) ? Math.max(0, clock.now() - oldestAt) : undefined;
  return { spec, waiting, inFlight, scheduled, oldestWaitingMs };
}

/** More are not read: what waits is an upper bound then. */
const mostRead = 5_000;

/** Of what waits, how many nobody of the group reads, and the age of the oldest that somebody does. */
async function wanted(
  reader: RecordReader,
  { topic, partition, begin, end }: { topic: string; partition: number; begin: number; end: number },
  isWanted: (record: FetchedRecord) => boolean,
  isDone: (offset: number) => boolean,
): Promise<{ readonly unwanted: number; readonly oldestAt: number }> {
  let unwanted = 0;
  let oldestAt = Number.POSITIVE_INFINITY;
  for (let next = begin; next < end && next < begin + mostRead;) {
    const records = await reader.read(topic, partition, next);
    if (records.length === 0) break;
    for (const record of records) {
      if (record.offset >= end || isDone(record.offset)) continue;
      if (isWanted(record)) oldestAt = Math.min(oldestAt, record.time);
      else unwanted += 1;
    }
    next = records.at(-1)!.offset + 1;
  }
  return { unwanted, oldestAt };
}

interface About {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly pid: number;
  readonly since: number;
}

/** As its coordinator has them: whoever it lists was heard of within a session. */
export async function groupMembers({ session, groups }: Shared, group: string): Promise<readonly Member[]> {
  const { module, names, clock, control } = session;
  const found = await groups.describe(names.group(group));
  return (found?.members ?? []).flatMap(({ memberId, memberMetadata, memberAssignment }) => {
    try {
      const { userData } = module.decodeConsumerProtocolSubscription(memberMetadata);
      const { member } = JSON.parse(userData.toString()) as { readonly member: About };
      const partitions = new Set<number>();
      if (memberAssignment.length > 0) {
        const text = module.decodeConsumerProtocolAssignment(memberAssignment).userData.toString();
        const { owners } = JSON.parse(text) as { readonly owners: [...Parameters<Shares["owners"]["get"]>, string][] };
        for (const [ref, owner] of owners)
          if (owner === memberId && control.fold.streams.has(parseRef(ref).lane))
            partitions.add(parseRef(ref).partition);
      }
      const { id, name, host, pid, since } = member;
      return [
        {
          ...{ id, name, host, pid },
          since: new Date(since),
          lastSeen: new Date(clock.now()),
          partitions: [...partitions].toSorted((left, right) => left - right),
        },
      ];
    } catch {
      return []; // another program's
    }
  });
}
