import type { Headers } from "../../driver.ts";
import { newest } from "./cluster.ts";
import type { Committed, Committer } from "./committer.ts";
import { placeIn } from "./attach.ts";
import { begunIn } from "./attached-group.ts";
import { type GroupEntry, sinceOf, startIn } from "./control-fold.ts";
import type { FetchLoop } from "./fetch-loop.ts";
import { GroupLane, type LaneHost } from "./group-lane.ts";
import type { Work } from "./group-member.ts";
import { type LedgerEntry, parseLedger } from "./ledger-text.ts";
import { parseRef } from "./names.ts";
import { cutOff, Reading, type ReadingListener } from "./reading.ts";
import type { Shared } from "./shared.ts";

export interface TakeoverOptions {
  readonly shared: Shared;
  readonly work: Work;
  readonly host: LaneHost;
  readonly committer: Committer;
  readonly refs: readonly string[];
  readonly loop: FetchLoop;
  entry(): GroupEntry;
  listener(lane: () => GroupLane): ReadingListener;
  said(reason: string): void;
}

/**
 * What stood at the broker of partitions that are ours from now on. A coordinator that has just moved answers for a moment as if
 * nothing had been committed: it answers a commit only when it knows all before it, so one goes first.
 */
export async function takeOver(options: TakeoverOptions): Promise<readonly GroupLane[]> {
  const { shared, work, host, committer, refs, loop } = options;
  const { session } = shared;
  const { cluster, control, names } = session;
  await control.current();
  const barrier: Committed = {
    topic: names.control,
    partition: 0,
    commit: () => ({ offset: 0, text: "", confirmed: () => undefined }),
  };
  if (!(await committer.now(barrier))) throw new Error("it is not ours any more");
  const lanes = work.lanes();
  const places = refs.flatMap((ref) => {
    const { lane, partition } = parseRef(ref);
    const found = lanes.get(lane);
    return found === undefined || partition >= found.partitions ? [] : [{ ref, lane, partition, topic: found.topic }];
  });
  const committed = await shared.groups.committed(names.group(work.group));
  const ends = await cluster.offsets(places.map(({ topic, partition }) => ({ topic, partition, at: newest })));
  const entry = options.entry();
  return await Promise.all(
    places.map(async (at, index) => {
      const { lane, partition, topic, ref } = at;
      const topicId = await cluster.topicId(topic);
      const kind = work.kindOf(lane);
      const found = committed.get(topic)?.get(partition);
      const parsed = found === undefined ? undefined : parseLedger(found.offset, found.text, topicId);
      const since = kind === "queue" ? entry.first : sinceOf(entry, lane, partition);
      const end = ends[index] ?? 0;
      const valid = parsed !== undefined && parsed.revision >= since ? parsed : undefined;
      const isCut = valid !== undefined && found!.offset > end; // what was settled above it was another log's
      if (isCut) options.said(cutOff);
      const before = isCut ? undefined : valid;
      const notes = await headersOf(before, shared);
      const start =
        kind === "queue"
          ? startIn(entry.queue, topicId, partition)
          : begunIn(entry, entry.starts[lane], topicId, partition, found);
      const floor = isCut ? end : before === undefined ? start : found!.offset;
      // who began at a later place may have had all that is there
      const isAgain = kind === "stream" && since > entry.since;
      const handed = before === undefined ? (isAgain ? end : floor) : Math.min(before.handed, end);
      const suspect = Math.max(before?.suspect ?? floor, handed);
      const place = placeIn(control.fold.streams.get(lane)?.options, kind, ref, lane);
      const made = new GroupLane(
        host,
        at,
        topicId,
        place,
        { floor, entry: before, suspect, notes, since },
        kind === "queue" ? work.dueOf : undefined,
      );
      const cutOften = control.fold.streams.get(lane)?.options.maxMessages !== undefined;
      const listener = options.listener(() => made);
      made.reading = new Reading(session, topic, partition, floor, listener, loop, cutOften, topicId);
      return made;
    }),
  );
}

/** Of each message that something is noted of: what had no room beside the offset is a record of its own. */
async function headersOf(entry: LedgerEntry | undefined, { notes }: Shared): Promise<ReadonlyMap<number, Headers>> {
  const all = (entry?.notes ?? []).map(async ({ offset, headers }) => [offset, await notes.read(headers)] as const);
  return new Map(await Promise.all(all));
}
