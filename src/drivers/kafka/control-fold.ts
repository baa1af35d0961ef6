import type { GroupSpec } from "../../driver.ts";
import type { AttachedTopic } from "./attach.ts";

export interface FullStream {
  readonly name: string;
  readonly topics: readonly string[];
  readonly partitions: number;
  readonly maxAgeMs: number;
  readonly maxBytes: number;
  readonly maxMessages: number | undefined;
  readonly whenFull: "reject" | "drop-oldest";
  readonly idleGroupMs: number;
  readonly replicas: number;
  /** Somebody else's topic, which is neither changed nor deleted. */
  readonly attached?: AttachedTopic | undefined;
}

export interface StreamEntry {
  readonly revision: number;
  readonly options: FullStream;
}

export interface GroupEntry {
  readonly revision: number;
  /** Of the record that made it: what an older ledger says of the queue counts for nothing. */
  readonly first: number;
  /** The same of its streams: a reset makes them begin anew. */
  readonly since: number;
  readonly spec: GroupSpec;
  /** Its name at Kafka, if it has one of its own: it goes on where others leave off. */
  readonly id?: string | undefined;
  /** Where each stream begins; of one that is not there, all of it is read. */
  readonly starts: Readonly<Record<string, TopicStart>>;
  /** Of a stream's partitions that were put back to begin earlier: by which record. What was committed before it counts for nothing. */
  readonly again: Readonly<Record<string, readonly number[]>>;
  /** Where its queue begins: what is below was a former group's of that name. */
  readonly queue: TopicStart | undefined;
  readonly former: FormerGroup | undefined;
}

/** Of one that was deleted: where it stood, for those of its members who make it again. */
export interface FormerGroup {
  readonly first: number;
  readonly places: Readonly<Record<string, TopicStart>>;
}

/** The first offset of each partition. */
export interface TopicStart {
  /** Another topic of that name has other offsets. */
  readonly topicId: string;
  readonly offsets: readonly number[];
  /** What another client had committed by then of a group that has a name of its own: it counts for nothing. */
  readonly stood?: readonly (number | null)[] | undefined;
}

/** Another topic that came to have the name is read from its oldest. */
export const startIn = (start: TopicStart | undefined, topicId: string, partition: number): number =>
  start?.topicId === topicId ? (start.offsets[partition] ?? 0) : 0;

/** What was committed of a stream's partition by an earlier revision counts for nothing. */
export const sinceOf = ({ since, again }: GroupEntry, stream: string, partition: number): number =>
  Math.max(since, again[stream]?.[partition] ?? 0);

export type ControlRecord =
  | { readonly is: "layout"; readonly version: number }
  | { readonly is: "stream"; readonly expect: number; readonly options: FullStream }
  | { readonly is: "no-stream"; readonly expect: number; readonly name: string }
  | {
      readonly is: "group";
      readonly expect: number;
      readonly spec: GroupSpec;
      /** Of one that is new. */
      readonly id?: string | undefined;
      readonly starts: GroupEntry["starts"];
      /** Its streams begin anew there. */
      readonly anew?: boolean;
    }
  | {
      readonly is: "no-group";
      readonly expect: number;
      readonly name: string;
      readonly queue: TopicStart | undefined;
      readonly places?: FormerGroup["places"];
    }
  | { readonly is: "delays" }
  | { readonly is: "snapshot"; readonly upTo: number; readonly state: Snapshot };

export interface Snapshot {
  readonly version: number | undefined;
  readonly streams: readonly StreamEntry[];
  readonly groups: readonly GroupEntry[];
  readonly delays: boolean;
  /** Where the queues of groups end that are no more. */
  readonly queues: readonly (readonly [group: string, queue: TopicStart])[];
  readonly former: readonly (readonly [group: string, former: FormerGroup])[];
}

/**
 * What the records of the control log come to, the same for everybody. A record counts if what it expects stands: the offset of
 * the record by which the thing is as it is, 0 for none. Pure.
 */
export class ControlFold {
  readonly streams: Map<string, StreamEntry> = new Map();
  readonly groups: Map<string, GroupEntry> = new Map();
  readonly #queues = new Map<string, TopicStart>();
  readonly #former = new Map<string, FormerGroup>();
  version: number | undefined = undefined;
  delays = false;

  /** What changed: `streams`, `delays`, or `group` with its name. Undefined: it does not count. Offsets begin with 1 here. */
  apply(record: ControlRecord, offset: number): { readonly what: string; readonly name: string } | undefined {
    if (this.#isTaken(record)) return undefined;
    switch (record.is) {
      case "layout":
        this.version ??= record.version;
        return undefined;
      case "stream": {
        const { name } = record.options;
        if ((this.streams.get(name)?.revision ?? 0) !== record.expect) return undefined;
        this.streams.set(name, { revision: offset, options: record.options });
        return { what: "streams", name };
      }
      case "no-stream":
        if (this.streams.get(record.name)?.revision !== record.expect) return undefined;
        this.streams.delete(record.name);
        return { what: "streams", name: record.name };
      case "group": {
        const name = record.spec.group;
        const stood = this.groups.get(name);
        if ((stood?.revision ?? 0) !== record.expect) return undefined;
        const { spec, starts, anew = false } = record;
        const id = stood === undefined ? record.id : stood.id;
        const since = stood === undefined || anew ? offset : stood.since;
        const again = since === offset ? {} : putBack(stood!, starts, offset);
        const queue = stood === undefined ? this.#queues.get(name) : stood.queue;
        const former = stood === undefined ? this.#former.get(name) : anew ? undefined : stood.former;
        const first = stood?.first ?? offset;
        this.groups.set(name, { revision: offset, first, since, spec, id, starts, again, queue, former });
        this.#queues.delete(name);
        this.#former.delete(name);
        return { what: "group", name };
      }
      case "no-group": {
        const { expect, name, queue, places } = record;
        const stood = this.groups.get(name);
        if (stood?.revision !== expect) return undefined;
        this.groups.delete(name);
        if (queue !== undefined) keep(this.#queues, name, queue);
        if (places !== undefined) keep(this.#former, name, { first: stood.first, places });
        return { what: "group", name };
      }
      case "delays":
        if (this.delays) return undefined;
        this.delays = true;
        return { what: "delays", name: "" };
      case "snapshot":
        return undefined; // it says what was folded
    }
  }

  /** Another stream has the topic that it names, or another group the id. */
  #isTaken(record: ControlRecord): boolean {
    if (record.is === "stream") {
      const { name, attached } = record.options;
      return [...this.streams.values()].some(
        ({ options }) => attached !== undefined && options.attached?.topic === attached.topic && options.name !== name,
      );
    }
    if (record.is !== "group" || record.id === undefined) return false;
    return [...this.groups.values()].some(({ id, spec }) => id === record.id && spec.group !== record.spec.group);
  }

  snapshot(): Snapshot {
    const { version, delays } = this;
    const [streams, groups] = [[...this.streams.values()], [...this.groups.values()]];
    return { version, delays, streams, groups, queues: [...this.#queues], former: [...this.#former] };
  }

  /** Only before anything else was applied: what a snapshot says is not said by records any more. */
  restore({ version, streams, groups, delays, queues, former }: Snapshot): void {
    this.version = version;
    this.delays = delays;
    this.streams.clear();
    this.groups.clear();
    for (const each of streams) this.streams.set(each.options.name, each);
    for (const each of groups) this.groups.set(each.spec.group, each);
    this.#queues.clear();
    for (const [group, queue] of queues) this.#queues.set(group, queue);
    this.#former.clear();
    for (const [group, each] of former) this.#former.set(group, each);
  }
}

/** Of so many deleted groups it is known what they left; each snapshot says it. */
const mostDeleted = 1_000;

function keep<Value>(deleted: Map<string, Value>, name: string, value: Value): void {
  deleted.delete(name);
  deleted.set(name, value);
  for (const [oldest] of deleted) {
    if (deleted.size <= mostDeleted) return;
    deleted.delete(oldest);
  }
}

/** Which partitions begin earlier than they did. */
function putBack({ starts, again }: GroupEntry, next: GroupEntry["starts"], revision: number): GroupEntry["again"] {
  const all = { ...again };
  for (const [stream, { topicId, offsets }] of Object.entries(next)) {
    const before = starts[stream];
    if (before?.topicId !== topicId) continue;
    const isEarlier = offsets.map((offset, partition) => offset < (before.offsets[partition] ?? 0));
    if (isEarlier.includes(true))
      all[stream] = isEarlier.map((each, partition) => (each ? revision : (again[stream]?.[partition] ?? 0)));
  }
  return all;
}
