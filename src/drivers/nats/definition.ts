import type { GroupSpec, StartAt } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { checkBorrowed, consumersOf, refuseReset } from "./borrowed-consumer.ts";
import { consumerNames } from "./consumer-names.ts";
import { makePart, makeQueue } from "./group-consumers.ts";
import {
  completed,
  fixed,
  fixing,
  type GroupDefinition,
  grown,
  isOrdered,
  newDefinition,
  parseDefinition,
  removed,
  replaced,
  restarted,
  specOf,
} from "./group-plan.ts";
import { checkStart, type Start, startOf, type StreamState } from "./group-start.ts";
import { keys } from "./names.ts";
import type { Shared } from "./shared.ts";
import { spread, sweep } from "./sweeping.ts";

export interface Defined {
  readonly definition: GroupDefinition;
  /** Of the bucket's entry. */
  readonly revision: number;
}

const waitMs = 100;

/** The groups' definitions in the bucket, changed by compare-and-set alone, whoever else changes them at the same time. */
export class Definitions {
  readonly #shared: Shared;

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  /** As the leader has it. */
  async get(group: string): Promise<Defined | undefined> {
    const found = await this.#read(group);
    return found === undefined || found.definition.gone === true ? undefined : found;
  }

  async list(): Promise<readonly GroupDefinition[]> {
    const entries = await this.#shared.bucket.list(keys.definitions);
    return entries.map(({ value }) => parseDefinition(value!)).filter((definition) => definition !== undefined);
  }

  /** Undefined: it was changed meanwhile. */
  async swap(definition: GroupDefinition, expected: number): Promise<Defined | undefined> {
    const revision = await this.#shared.bucket.putJson(keys.definition(definition.group), definition, {
      expect: expected,
    });
    return revision === undefined ? undefined : { definition, revision };
  }

  /** Made, or grown by what is new. Resolves when every member that could pass over what it adds knows of it. */
  async ensure(spec: GroupSpec): Promise<GroupSpec> {
    checkStart(spec.from);
    for (;;) {
      const found = await this.#read(spec.group);
      const definition = await this.#current(found);
      if (definition === undefined) {
        const made = await this.#make(spec, found);
        if (made !== undefined) return specOf(made.definition);
        continue;
      }
      if (definition.change !== undefined) {
        await this.finish(spec.group);
        continue;
      }
      const streams = await this.states([...definition.reads, ...spec.reads]);
      for (const { stream } of spec.reads)
        if (!streams.has(stream) && !definition.reads.some((read) => read.stream === stream))
          throw noStream(spec, stream);
      const next = grown(definition, spec, streams) ?? completed(definition, streams);
      await checkBorrowed(this.#shared, next ?? definition);
      if (next === undefined) {
        if (isOrdered(definition)) await spread(this.#shared, definition);
        return specOf(definition);
      }
      if ((await this.swap(next, found!.revision)) !== undefined) await this.#known(next);
    }
  }

  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    for (;;) {
      const found = await this.#named(group);
      if (found.definition.change !== undefined) {
        await this.finish(group);
        continue;
      }
      const streams = await this.states([...found.definition.reads, ...reads]);
      const next = replaced(found.definition, reads, streams);
      await checkBorrowed(this.#shared, next);
      if ((await this.swap(next, found.revision)) !== undefined) return await this.#known(next);
    }
  }

  /** Begins elsewhere, in consumers of other names. Rejects with BUS_CONFLICT while members are active. */
  async reset(group: string, to: StartAt): Promise<void> {
    checkStart(to);
    for (;;) {
      const found = await this.#named(group);
      const { definition } = found;
      refuseReset(definition);
      await this.#shared.members.caughtUp(found.revision);
      const members = this.#shared.members.seats(group, definition.first);
      if (members.length > 0)
        throw new DriverError("BUS_CONFLICT", `group (${group}): ${members.length} members are active`);
      const streams = await this.states(definition.reads);
      const next = restarted(definition, streams, await this.#starts(to, definition.reads, streams));
      const stored = await this.swap(next, found.revision);
      if (stored === undefined) continue;
      await sweep(this.#shared, stored, { notes: true, queue: false });
      return await this.#makeConsumers(next);
    }
  }

  /** With its queue; its letters are the caller's. */
  async remove(group: string): Promise<boolean> {
    const { api, session } = this.#shared;
    for (;;) {
      const found = await this.#read(group);
      if (found === undefined) {
        const { queue } = session.names;
        return (await api.purge(queue, { filter: session.names.queueFilter(group) })) > 0;
      }
      const gone = found.definition.gone === true ? found : await this.swap(removed(found.definition), found.revision);
      if (gone === undefined) continue;
      const purged = await sweep(this.#shared, gone, { notes: true, queue: true });
      return found.definition.gone !== true || purged > 0;
    }
  }

  /** Ends a change that somebody began; undefined: the group is gone. */
  async finish(group: string): Promise<Defined | undefined> {
    const { members } = this.#shared;
    for (;;) {
      const found = await this.get(group);
      if (found?.definition.change === undefined) return found;
      const { definition, revision } = found;
      const { change } = found.definition;
      if (change.phase === "asked") {
        await members.caughtUp(revision);
        const unaware = members.seats(group, definition.first).some(({ seat }) => seat.knows < change.revision);
        if (unaware) await members.next(waitMs);
        else await this.swap(fixing(definition), revision);
        continue;
      }
      const next = await this.swap(fixed(definition, await this.states(definition.reads)), revision);
      if (next !== undefined) await this.#makeConsumers(next.definition);
    }
  }

  /** Of those that are there. */
  async states(reads: GroupSpec["reads"]): Promise<ReadonlyMap<string, StreamState>> {
    const states = new Map<string, StreamState>();
    const names = [...new Set(reads.map(({ stream }) => stream))];
    const found = await Promise.all(names.map((name) => this.#shared.streams.look(name)));
    for (const [index, stream] of found.entries())
      if (stream !== undefined)
        states.set(names[index]!, { created: stream.facts.created, last: stream.native.state.last_seq });
    return states;
  }

  async #read(group: string): Promise<Defined | undefined> {
    const found = await this.#shared.bucket.getJson<GroupDefinition>(keys.definition(group));
    return found === undefined ? undefined : { definition: found.value, revision: found.revision };
  }

  async #named(group: string): Promise<Defined> {
    const found = await this.get(group);
    if (found === undefined) throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);
    return found;
  }

  /** A live group goes with its last member. */
  async #current(found: Defined | undefined): Promise<GroupDefinition | undefined> {
    if (found === undefined || found.definition.gone === true) return undefined;
    const { definition } = found;
    if (!definition.live || !definition.joined) return definition;
    await this.#shared.members.caughtUp(found.revision);
    return this.#shared.members.seats(definition.group, definition.first).length > 0 ? definition : undefined;
  }

  async #make(spec: GroupSpec, found: Defined | undefined): Promise<Defined | undefined> {
    const streams = await this.states(spec.reads);
    for (const { stream } of spec.reads) if (!streams.has(stream)) throw noStream(spec, stream);
    const from: StartAt = spec.live ? { at: "newest" } : spec.from;
    const starts = await this.#starts(from, spec.reads, streams);
    const before = found?.definition;
    const revision = before?.revision ?? (await this.#unused(streams));
    const consumers = consumersOf(this.#shared, spec.group);
    const made = {
      ...newDefinition(spec, revision + 1, streams, starts),
      ...(consumers === undefined ? {} : { consumers }),
    };
    await checkBorrowed(this.#shared, made);
    const left = before === undefined || before.gone === true ? (before?.dropped ?? []) : removed(before).dropped; // of a live one that nobody is in
    const defined = await this.swap({ ...made, dropped: left }, found?.revision ?? 0);
    if (defined === undefined) return undefined;
    if (before !== undefined) await sweep(this.#shared, defined, { notes: true, queue: false });
    await this.#makeConsumers(defined.definition);
    return defined;
  }

  /**
   * Where the revisions of a group begin that nothing is known of. In a stream that is older than the bucket may be consumers of
   * a definition that was lost with the last bucket, and no name may come twice.
   */
  async #unused(streams: ReadonlyMap<string, StreamState>): Promise<number> {
    const { api, session } = this.#shared;
    const made = (await api.streamInfo(session.names.bucketStream))?.created ?? "";
    const older = [...streams.values()].some(({ created }) => Date.parse(created) < Date.parse(made));
    return older ? microseconds(made) : 0; // two buckets may be made within one millisecond
  }

  async #starts(
    from: StartAt,
    reads: GroupSpec["reads"],
    streams: ReadonlyMap<string, StreamState>,
  ): Promise<Readonly<Record<string, Start>>> {
    const starts: Record<string, Start> = {};
    for (const { stream } of reads) {
      const state = streams.get(stream);
      const partitions = this.#shared.streams.get(stream)?.partitions ?? 1;
      if (state !== undefined) Object.assign(starts, startOf(from, stream, partitions, state));
    }
    return starts;
  }

  /** Until then a member that does not know it may pass over what it adds. */
  async #known(definition: GroupDefinition): Promise<void> {
    if (isOrdered(definition)) await spread(this.#shared, definition);
    else if (definition.change !== undefined) await this.finish(definition.group);
    else await this.#makeConsumers(definition);
  }

  async #makeConsumers(definition: GroupDefinition): Promise<void> {
    if (isOrdered(definition)) return;
    const { streams } = this.#shared;
    await Promise.all([
      makeQueue(this.#shared, definition, consumerNames.queue(definition)),
      ...definition.parts.map(async (part) => {
        const facts = streams.get(part.stream);
        if (facts?.created === part.created)
          await makePart(this.#shared, definition, part, (each) => facts.filter(each));
      }),
    ]);
  }
}

/** Of an RFC 3339 time, since the epoch. */
function microseconds(time: string): number {
  const digits = /\.(\d+)/u.exec(time)?.[1] ?? "";
  return Math.floor(Date.parse(time) / 1_000) * 1e6 + Number(digits.padEnd(6, "0").slice(0, 6));
}

const noStream = ({ group }: GroupSpec, stream: string): DriverError =>
  new DriverError("BUS_NOT_FOUND", `group (${group}): there is no stream ${stream}`);
