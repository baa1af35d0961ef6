import type { GroupDefinition } from "./group-plan.ts";
import type { Start } from "./group-start.ts";

export type Range = readonly [from: number, to: number];

/** Who reads one partition of an ordered group, and how far it is: the partition's entry in the bucket. */
export interface Owner {
  /** Of the definition: an entry of another incarnation or before a reset counts for nothing. */
  readonly first: number;
  /** When its stream was made. */
  readonly created: string;
  /** One more with each new owner, and whenever an owner makes its consumer anew. */
  readonly epoch: number;
  readonly member: string | null;
  /** By which its consumer filters. */
  readonly patterns: string;
  /** Everything up to it is settled; null: it begins at the definition's time. */
  readonly floor: number | null;
  /** Settled above the floor. */
  readonly done: readonly Range[];
  /** Up to here something may have been handed to a handler that never ended. */
  readonly handed: number;
  /** The epoch whose consumer may be there, and those that are to be deleted. */
  readonly reader: number;
  readonly old: readonly number[];
}

export interface Progress {
  /** Null: nothing was acknowledged. */
  readonly floor: number | null;
  readonly delivered: number;
}

/** The bucket and the server, for one partition. Each call is a step after which a process may end. */
export interface OwnerStore {
  read(): Promise<{ readonly owner: Owner; readonly revision: number } | undefined>;
  /** Undefined: the entry was changed meanwhile. `expected` 0: there must be none. */
  swap(owner: Owner, expected: number): Promise<number | undefined>;
  /** As it is now, with the stream's identity; undefined: there is none any more. */
  definition(): Promise<{ readonly definition: GroupDefinition; readonly created: string } | undefined>;
  /** Where the partition begins that has no entry, in the stream that was made then. */
  start(definition: GroupDefinition, created: string): Start;
  patterns(definition: GroupDefinition): string;
  /** Of an epoch's consumer; undefined: there is none. */
  progress(epoch: number): Promise<Progress | undefined>;
  remove(epoch: number): Promise<void>;
  /** Its floor before anything was delivered. */
  make(owner: Owner, definition: GroupDefinition): Promise<number>;
}

/** What one owner holds. */
export interface Owned {
  readonly owner: Owner;
  /** Of the entry in the bucket. */
  readonly revision: number;
  readonly definition: GroupDefinition;
  readonly floor: number;
}

/** What this member knows better than the server when it makes its own consumer anew. */
export interface Mine {
  readonly owned: Owned;
  readonly floor: number;
  readonly done: readonly Range[];
}

/**
 * Makes `member` the owner, or itself once more with a new consumer. Undefined: another was quicker, or the group is gone. The
 * acknowledgements of whoever owned it before count until its consumer is deleted; what counted after its progress was read
 * is repeated. Without a member: the partition is nobody's, and its last owner can settle nothing any more.
 */
export async function takeOver(
  store: OwnerStore,
  member: string | null,
  allowed: (owner: Owner) => boolean,
  mine?: Mine,
): Promise<Owned | undefined> {
  const known = await store.definition();
  if (known === undefined) return undefined;
  const found = await store.read();
  const valid =
    found !== undefined && found.owner.first === known.definition.first && found.owner.created === known.created;
  // nobody else writes our id: an answer that was lost may have stored our own next entry
  if (mine !== undefined && (!valid || found.owner.member !== member)) return undefined;
  if (valid && mine === undefined && !allowed(found.owner)) return undefined;
  if (!valid && member === null) return undefined; // it is nobody's
  const { definition, created } = known;
  const before = valid
    ? found.owner
    : nothing(definition.first, created, store.start(definition, created), found?.owner);
  const claimed: Owner = { ...before, epoch: before.epoch + 1, member };
  let revision = await store.swap(claimed, found?.revision ?? 0);
  if (revision === undefined) return undefined;

  // whoever changed the definition before this read waits for nobody but us; after it, it waits for our new entry
  const now = await store.definition();
  if (now === undefined || now.definition.first !== claimed.first || now.created !== claimed.created) return undefined;
  const progress = claimed.reader === 0 ? undefined : await store.progress(claimed.reader);
  const floor = highest(claimed.floor, progress?.floor, mine?.floor);
  const owner: Owner = {
    ...claimed,
    patterns: store.patterns(now.definition),
    floor,
    done: mine?.done ?? (floor === null ? [] : above(claimed.done, floor)),
    // who handed it over wrote down what counts; what its consumer sent besides came to nobody
    handed: before.member === null ? claimed.handed : Math.max(claimed.handed, progress?.delivered ?? 0),
    reader: member === null ? 0 : claimed.epoch,
    old: leftBy(claimed, progress),
  };
  revision = await store.swap(owner, revision);
  if (revision === undefined) return undefined;
  for (const epoch of owner.old) await store.remove(epoch);
  if (member === null) return { owner: { ...owner, old: [] }, revision, definition: now.definition, floor: floor ?? 0 };
  const start = await store.make(owner, now.definition);
  return { owner: { ...owner, old: [] }, revision, definition: now.definition, floor: floor ?? start };
}

/**
 * Nothing of it can be running, or we are cut off. What was settled above the floor is written down, so that nothing is repeated.
 * False: it is no longer ours.
 */
export async function release(
  store: OwnerStore,
  { owner }: Owned,
  floor: number,
  done: readonly Range[],
  handed: number,
): Promise<boolean> {
  for (;;) {
    const found = await store.read();
    if (found === undefined || found.owner.first !== owner.first || found.owner.epoch < owner.epoch) return false;
    if (found.owner.member !== owner.member) return found.owner.member === null && found.owner.epoch === owner.epoch;
    const given: Owner = { ...found.owner, member: null, floor, done, handed };
    if ((await store.swap(given, found.revision)) !== undefined) return true; // else its patterns were written meanwhile
  }
}

/**
 * Of a stream that was made again epochs go on: whoever had it before may make its consumer in the new one, at its old place, and
 * that is not to be found in the place of ours.
 */
const nothing = (first: number, created: string, start: Start, former: Owner | undefined): Owner => ({
  first,
  created,
  epoch: former?.first === first ? former.epoch : 0,
  member: null,
  patterns: "",
  floor: "sequence" in start ? start.sequence - 1 : null,
  done: [],
  handed: 0,
  reader: 0,
  old: former?.first === first ? [...former.old, former.reader].filter((epoch) => epoch > 0) : [],
});

/** A consumer is made when all before it are deleted. */
function leftBy({ old, reader }: Owner, progress: Progress | undefined): readonly number[] {
  if (progress !== undefined) return [reader];
  return reader === 0 ? old : [...old, reader];
}

function highest(...floors: readonly (number | null | undefined)[]): number | null {
  const known = floors.filter((floor) => floor !== null && floor !== undefined);
  return known.length === 0 ? null : Math.max(...known);
}

const above = (ranges: readonly Range[], floor: number): readonly Range[] => ranges.filter(([, to]) => to > floor);

/** Ascending numbers as ranges. */
export function rangesOf(sequences: readonly number[]): readonly Range[] {
  const ranges: [number, number][] = [];
  for (const sequence of sequences) {
    const last = ranges.at(-1);
    if (last !== undefined && sequence === last[1] + 1) last[1] = sequence;
    else ranges.push([sequence, sequence]);
  }
  return ranges;
}

export const within = (ranges: readonly Range[], sequence: number): boolean =>
  ranges.some(([from, to]) => sequence >= from && sequence <= to);
