import type { GroupSpec, StartAt } from "../../driver.ts";
import { changedSpec, grownSpec, newSpec, refuseOther } from "../../internal/group-spec.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { checkId, isOurs, refuseOthers, resumeOf, stoodIn } from "./attached-group.ts";
import { type ControlRecord, type GroupEntry, startIn, type TopicStart } from "./control-fold.ts";
import { allPlaces } from "./group-places.ts";
import { parseLedger } from "./ledger-text.ts";
import { refOf } from "./names.ts";
import type { Shared } from "./shared.ts";
import { offsetAfter, startOffsets } from "./start-offsets.ts";

const lookMs = 20;

/** Groups as they are defined: in the control log, by compare-and-set. */
export class Definitions {
  readonly #shared: Shared;

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  get(group: string): GroupEntry | undefined {
    return this.#shared.session.control.fold.groups.get(group);
  }

  async ensure(spec: GroupSpec): Promise<GroupSpec> {
    const { session, queues } = this.#shared;
    const { control, names } = session;
    await control.current();
    const wanted = session.options.groupIds.get(spec.group);
    const id = wanted ?? this.get(spec.group)?.id;
    if (id !== undefined) await refuseOthers(spec.group, id, this.#shared.groups);
    const seen = this.get(spec.group)?.revision;
    const isEmptyLive = spec.live && (await this.#isDeserted(spec.group));
    let before: GroupEntry | undefined;
    const changed = await control.change(async ({ groups }): Promise<ControlRecord | undefined> => {
      const stored = groups.get(spec.group);
      before = stored;
      checkId(spec, wanted, groups, names);
      // who joined since it was looked at has made or changed it
      if (stored !== undefined && !(isEmptyLive && stored.spec.live && stored.revision === seen)) {
        refuseOther(stored.spec, spec);
        const grown = grownSpec(stored.spec, spec);
        if (grown === undefined) return undefined;
        const starts = { ...stored.starts, ...(await this.#newStarts(stored, grown)) };
        return { is: "group", expect: stored.revision, spec: grown, starts };
      }
      const made = newSpec(spec);
      const starts = await this.#starts(made, made.from, wanted, true);
      return { is: "group", expect: stored?.revision ?? 0, spec: made, id: wanted, starts, anew: true };
    });
    if (session.context.manage === "create") await queues.make(spec.group);
    const entry = this.get(spec.group);
    if (entry === undefined) throw deletedMeanwhile();
    if (before !== undefined) await this.#inForce(changed ? before : undefined, entry);
    return entry.spec;
  }

  /** The one way by which patterns shrink. */
  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    await this.#shared.session.control.current();
    await this.#shared.session.control.change(async ({ groups }) => {
      const stored = groups.get(group);
      if (stored === undefined) throw missing(group);
      const spec = changedSpec(stored.spec, reads);
      const starts = { ...stored.starts, ...(await this.#newStarts(stored, spec)) };
      return { is: "group", expect: stored.revision, spec, starts };
    });
  }

  /** All of it is one record: what owners committed before it counts for nothing from then on. */
  async reset(group: string, to: StartAt): Promise<void> {
    const { session } = this.#shared;
    await session.control.current();
    if (this.get(group) === undefined) throw missing(group);
    if (!(await this.#isDeserted(group)))
      throw new DriverError("BUS_CONFLICT", `kafka: the group "${group}" has members`);
    await session.control.change(async ({ groups }) => {
      const stored = groups.get(group);
      if (stored === undefined) throw missing(group);
      const starts = await this.#starts(stored.spec, to, stored.id);
      return { is: "group", expect: stored.revision, spec: stored.spec, starts, anew: true };
    });
  }

  async delete(group: string): Promise<boolean> {
    return await this.#delete(group, undefined);
  }

  /** `seen`: only as it was when it was seen. */
  async #delete(group: string, seen: number | undefined): Promise<boolean> {
    const { session, queues, letters, groups } = this.#shared;
    const { control, names } = session;
    await control.current();
    if (seen !== undefined && this.get(group)?.revision !== seen) return false;
    // whoever makes it again at once must not lose what is its own
    const { id } = this.get(group) ?? {};
    const name = id ?? names.group(group);
    const found = await groups.describe(name);
    const isOther = id !== undefined && found !== undefined && !isOurs(found);
    const members = isOther ? [] : (found?.members.map(({ memberId }) => memberId) ?? []);
    if (seen !== undefined && members.length > 0) return false;
    await letters.purge(group);
    const queue = await queues.end(group);
    const deleted = await control.change(async ({ groups: defined }): Promise<ControlRecord | undefined> => {
      const stored = defined.get(group);
      if (stored === undefined || (seen !== undefined && stored.revision !== seen)) return undefined;
      const kept = stored.spec.live ? {} : { places: await allPlaces(stored, this.#shared) };
      return { is: "no-group", expect: stored.revision, name: group, queue, ...kept };
    });
    if (seen !== undefined && !deleted) return false;
    // also what a crash in the middle left
    if (id === undefined) await groups.delete(name, members);
    else await groups.putOut(name, members); // what it has committed is not ours alone
    if (this.get(group) === undefined) await queues.delete(group);
    return deleted;
  }

  /** A live one goes with its last member. */
  async leftBy(group: string): Promise<void> {
    const entry = this.get(group);
    if (entry?.spec.live === true && (await this.#isDeserted(group))) await this.#delete(group, entry.revision);
  }

  /**
   * Of a group that was made again, by one who was a member of the one that was `first` then: goes on where that stood, also
   * where somebody who did not know of it has begun later.
   */
  async resume(group: string, positions: ReadonlyMap<string, string>, first: number | undefined): Promise<void> {
    const { cluster, control, names } = this.#shared.session;
    let made: number | undefined;
    await control.change(async ({ groups, streams }): Promise<ControlRecord | undefined> => {
      const stored = groups.get(group);
      made = stored?.first;
      if (stored === undefined || stored.first === first) return undefined;
      const starts: Record<string, TopicStart> = { ...stored.starts };
      const former = stored.former?.first === first ? stored.former?.places : undefined;
      let moved = false;
      for (const { stream } of stored.spec.reads) {
        const partitions = streams.get(stream)?.options.partitions ?? 0;
        if (partitions === 0) continue;
        const id = await cluster.topicId(names.stream(stream));
        const begun = stored.starts[stream];
        const stood = former?.[stream]?.topicId === id ? former[stream]?.offsets : undefined;
        const now = Array.from({ length: partitions }, (_, partition) => startIn(begun, id, partition));
        const next = now.map((start, partition) => {
          const ref = refOf(stream, partition);
          const position = positions.get(ref);
          // what it heard last itself may be from when the partition was its own
          const own = position === undefined ? start : offsetAfter(position, ref);
          return Math.min(start, stood?.[partition] ?? own);
        });
        if (next.every((each, at) => each === now[at])) continue;
        starts[stream] = { ...begun, topicId: id, offsets: next };
        moved = true;
      }
      return moved ? { is: "group", expect: stored.revision, spec: stored.spec, starts } : undefined;
    });
    if (made === undefined || this.get(group)?.first !== made) throw deletedMeanwhile();
  }

  async #isDeserted(group: string): Promise<boolean> {
    const { session, groups } = this.#shared;
    const found = await groups.describe(session.names.group(group));
    return found === undefined || found.members.length === 0;
  }

  /** `id`: of a group that has a name of its own at Kafka, which may go on where it stands there. */
  async #starts(spec: GroupSpec, from: StartAt, id?: string, goesOn = false): Promise<GroupEntry["starts"]> {
    const { session, groups } = this.#shared;
    const committed = id === undefined ? undefined : await groups.committed(id);
    const starts: Record<string, TopicStart> = {};
    for (const { stream } of spec.reads) {
      const partitions = session.control.fold.streams.get(stream)?.options.partitions;
      if (partitions === undefined) continue;
      const topic = session.names.stream(stream);
      const there = committed?.get(topic);
      const offsets = await startOffsets(
        session,
        stream,
        partitions,
        from,
        goesOn ? resumeOf(stream, there) : undefined,
      );
      starts[stream] = { topicId: await session.cluster.topicId(topic), offsets, ...stoodIn(there, partitions) };
    }
    return starts;
  }

  /** Of streams that are read from now on: as the group began, or what comes from now on where it began with that. */
  async #newStarts(stored: GroupEntry, next: GroupSpec): Promise<GroupEntry["starts"]> {
    const known = new Set(stored.spec.reads.map(({ stream }) => stream));
    const added = { ...next, reads: next.reads.filter(({ stream }) => !known.has(stream)) };
    return await this.#starts(added, stored.spec.from, stored.id, true);
  }

  /**
   * Until everybody who owns a part of what was read before goes by it, or nobody does. `before` undefined: it is as it was; who wrote
   * it may wait for the same yet, and who has committed nothing does not go by an older one.
   */
  async #inForce(before: GroupEntry | undefined, { revision, first, spec }: GroupEntry): Promise<void> {
    const { session, groups } = this.#shared;
    const { control, names, cluster, clock, options } = session;
    const name = names.group(spec.group);
    const until = clock.ticks() + options.sessionTimeoutMs * 2 + options.requestTimeoutMs;
    while (clock.ticks() < until) {
      if (await this.#isDeserted(spec.group)) return;
      const committed = await groups.committed(name);
      const ids = new Map<string, string>();
      const { reads } = (before ?? { spec }).spec;
      for (const { stream } of reads)
        if (control.fold.streams.has(stream)) ids.set(stream, await cluster.topicId(names.stream(stream)));
      const isBehind = reads.some(({ stream }) => {
        const partitions = control.fold.streams.get(stream)?.options.partitions ?? 0;
        const topic = names.stream(stream);
        const id = ids.get(stream) ?? "";
        const places = committed.get(topic);
        return Array.from({ length: partitions }, (_, partition) => places?.get(partition)).some((found) =>
          found === undefined
            ? before !== undefined
            : (parseLedger(found.offset, found.text, id)?.revision ?? 0) < revision,
        );
      });
      if (!isBehind || this.get(spec.group)?.first !== first) return;
      await cluster.pause(lookMs);
    }
    throw new DriverError("BUS_TIMEOUT", "kafka: not every member of the group has its new definition", {
      retryable: true,
    });
  }
}

export const missing = (group: string): DriverError =>
  new DriverError("BUS_NOT_FOUND", `kafka: there is no group "${group}"`);
const deletedMeanwhile = (): DriverError =>
  new DriverError("BUS_CONFLICT", "kafka: the group was deleted meanwhile", { retryable: true });
