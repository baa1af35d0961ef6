import type { GroupSpec, StartAt } from "../../driver.ts";
import { grownReads, refuseOther } from "../../internal/group-spec.ts";
import { matchesPattern } from "../../internal/topic-trie.ts";
import { oldest, type Start, type StreamState } from "./group-start.ts";

/** One consumer of an unordered group: of what matches in its stream it hands out what lies in [start, end). */
export interface Part {
  /** The definition's when it was made; part of the consumer's name. */
  readonly revision: number;
  readonly stream: string;
  /** When its stream was made: one of the same name that was made later is another. */
  readonly created: string;
  readonly patterns: readonly string[];
  readonly start: Start;
  /** From here on another part has them. */
  readonly end?: number;
}

/** Patterns change. Asked: until every member knows, each looks again before it hands out; fixing: nobody does. */
export interface Change {
  readonly revision: number;
  readonly phase: "asked" | "fixing";
}

/** A group, as the bucket has it. */
export interface GroupDefinition {
  readonly group: string;
  readonly order: "group" | "process" | "none";
  readonly live: boolean;
  readonly from: StartAt;
  readonly reads: GroupSpec["reads"];
  /** Grows with each change, over a deletion too, so that no name of a consumer ever comes twice. */
  readonly revision: number;
  /** The revision it was made at, and the one of the last reset. */
  readonly made: number;
  readonly first: number;
  /** Nobody has joined before: it may still begin where another incarnation stopped. */
  readonly joined: boolean;
  /** Deleted; kept for the revision. */
  readonly gone?: boolean;
  /** Of an unordered group. Those without an end are open, one a stream. */
  readonly parts: readonly Part[];
  /**
   * Of an ordered group: where a partition without an owner's entry begins, by partition (`events/3`) or stream. Of an unordered
   * one: how far back it was taken when it was made again.
   */
  readonly starts: Readonly<Record<string, Start>>;
  readonly change?: Change;
  /** Streams that somebody deleted and that were made again, when no member has said so yet. */
  readonly again?: readonly string[];
  /** Somebody else's consumers that it reads through, by stream: neither made nor changed nor deleted. */
  readonly consumers?: Readonly<Record<string, string>>;
  /** Consumers to delete: native stream and name. */
  readonly dropped: readonly (readonly [stream: string, revision: number])[];
}

export const isOrdered = (definition: { readonly order: string | undefined }): boolean => definition.order === "group";

export function specOf({ group, reads, from, order, live }: GroupDefinition): GroupSpec {
  return { group, reads, from, order, live };
}

/** Undefined: deleted, or not ours. */
export function parseDefinition(value: Uint8Array): GroupDefinition | undefined {
  try {
    const definition = JSON.parse(new TextDecoder().decode(value)) as GroupDefinition;
    return definition.gone === true || !Array.isArray(definition.reads) ? undefined : definition;
  } catch {
    return undefined;
  }
}

/** A new definition; `starts` has one for each stream, and for each partition of its own where positions differ. */
export function newDefinition(
  spec: GroupSpec,
  revision: number,
  streams: ReadonlyMap<string, StreamState>,
  starts: Readonly<Record<string, Start>>,
): GroupDefinition {
  const order = spec.order ?? (spec.live ? "process" : "group");
  const reads = grownReads([], some(spec.reads)) ?? [];
  const parts = reads.map(({ stream, patterns }) =>
    partOf(revision, stream, streams.get(stream)!.created, patterns, starts[stream] ?? oldest),
  );
  return {
    group: spec.group,
    order,
    live: spec.live,
    from: spec.live ? { at: "newest" } : spec.from,
    reads,
    revision,
    made: revision,
    first: revision,
    joined: false,
    parts: order === "group" ? [] : parts,
    starts:
      order === "group" ? starts : Object.fromEntries(reads.map(({ stream }) => [stream, starts[stream] ?? oldest])),
    dropped: [],
  };
}

/** The stored definition with what another one adds; undefined when that is nothing. Throws on what can't be changed. */
export function grown(
  stored: GroupDefinition,
  wanted: GroupSpec,
  streams: ReadonlyMap<string, StreamState>,
): GroupDefinition | undefined {
  refuseOther(stored, wanted);
  const reads = grownReads(stored.reads, some(wanted.reads));
  return reads === undefined ? undefined : withReads(stored, reads, streams);
}

/** With these patterns and no others. */
export function replaced(
  stored: GroupDefinition,
  wanted: GroupSpec["reads"],
  streams: ReadonlyMap<string, StreamState>,
): GroupDefinition {
  return withReads(stored, grownReads([], some(wanted)) ?? [], streams);
}

/** What stands in no part yet begins at its oldest; where a part's patterns change, all its readers have to know first. */
function withReads(
  stored: GroupDefinition,
  reads: GroupSpec["reads"],
  streams: ReadonlyMap<string, StreamState>,
): GroupDefinition {
  const revision = stored.revision + 1;
  const next = { ...stored, reads, revision };
  if (isOrdered(stored)) return next;
  const fresh = reads.filter(({ stream }) => streams.has(stream) && openPart(stored, stream) === undefined);
  const parts = [
    ...stored.parts,
    ...fresh.map(({ stream, patterns }) => partOf(revision, stream, streams.get(stream)!.created, patterns, oldest)),
  ];
  const starts = { ...stored.starts, ...Object.fromEntries(fresh.map(({ stream }) => [stream, oldest])) };
  const grown = { ...next, parts, starts };
  return stored.change !== undefined || changing(grown).length > 0
    ? { ...grown, change: { revision, phase: "asked" } }
    : grown;
}

/** Streams whose open part has other patterns than the definition wants. */
export function changing(definition: GroupDefinition): readonly string[] {
  const wanted = new Map(definition.reads.map(({ stream, patterns }) => [stream, patterns]));
  return definition.parts
    .filter((part) => part.end === undefined && !same(part.patterns, wanted.get(part.stream) ?? []))
    .map(({ stream }) => stream);
}

/** Every member knows: from now on nobody hands out from the parts that change, until their end stands. */
export function fixing(definition: GroupDefinition): GroupDefinition {
  return {
    ...definition,
    revision: definition.revision + 1,
    change: { revision: definition.change!.revision, phase: "fixing" },
  };
}

/** `streams`: as they were seen after `fixing` was stored, or something handed out lies behind the end. */
export function fixed(definition: GroupDefinition, streams: ReadonlyMap<string, StreamState>): GroupDefinition {
  const { change: _, ...rest } = definition;
  const revision = definition.revision + 1;
  const moved = new Set(changing(definition));
  const parts: Part[] = [];
  const unsaid = new Set(definition.again);
  for (const part of definition.parts) {
    const state = streams.get(part.stream);
    if (part.end !== undefined || !moved.has(part.stream) || state === undefined) parts.push(part);
    else if (state.created === part.created) parts.push({ ...part, end: state.last + 1 });
    else unsaid.add(part.stream);
  }
  for (const { stream, patterns } of definition.reads) {
    const state = streams.get(stream);
    if (!moved.has(stream) || state === undefined) continue;
    const before = openPart(definition, stream);
    const start = before?.created === state.created ? { sequence: state.last + 1 } : oldest;
    parts.push(partOf(revision, stream, state.created, patterns, start));
  }
  return { ...rest, revision, parts, ...(unsaid.size === 0 ? {} : { again: [...unsaid] }) };
}

/** A part goes on from elsewhere. */
export function moved(definition: GroupDefinition, part: Part, start: Start): GroupDefinition {
  const revision = definition.revision + 1;
  return {
    ...definition,
    revision,
    parts: definition.parts.map((each) =>
      each.stream === part.stream && each.revision === part.revision ? { ...each, revision, start } : each,
    ),
    dropped: [...definition.dropped, [part.stream, part.revision]],
  };
}

/**
 * What lies before the group's start in a stream is read too, by a part of its own: somebody comes who was further back when the
 * group was deleted. `starts` remembers how far back it was.
 */
export function backfilled(definition: GroupDefinition, stream: string, sequence: number): GroupDefinition {
  const part = openPart(definition, stream);
  const known = definition.starts[stream];
  if (part === undefined || known === undefined || !("sequence" in known) || sequence >= known.sequence)
    return definition;
  const revision = definition.revision + 1;
  const before: Part = { ...part, revision, start: { sequence }, end: known.sequence };
  return {
    ...definition,
    revision,
    parts: [...definition.parts, before],
    starts: { ...definition.starts, [stream]: { sequence } },
  };
}

/** With a part for each stream that has none, or was deleted and made again; undefined when there is nothing to do. */
export function completed(
  definition: GroupDefinition,
  streams: ReadonlyMap<string, StreamState>,
): GroupDefinition | undefined {
  if (isOrdered(definition)) return undefined;
  const missing = definition.reads.filter(({ stream }) => {
    const state = streams.get(stream);
    return state !== undefined && openPart(definition, stream)?.created !== state.created;
  });
  if (missing.length === 0) return undefined;
  const revision = definition.revision + 1;
  const again = new Set(missing.map(({ stream }) => stream));
  const unsaid = new Set([
    ...(definition.again ?? []),
    ...[...again].filter((stream) => openPart(definition, stream) !== undefined),
  ]);
  return {
    ...definition,
    revision,
    ...(unsaid.size === 0 ? {} : { again: [...unsaid] }),
    starts: { ...definition.starts, ...Object.fromEntries(missing.map(({ stream }) => [stream, oldest])) },
    parts: [
      ...definition.parts.filter(({ stream }) => !again.has(stream)),
      ...missing.map(({ stream, patterns }) =>
        partOf(revision, stream, streams.get(stream)!.created, patterns, oldest),
      ),
    ],
  };
}

/** That streams were deleted is said. */
export function said(definition: GroupDefinition): GroupDefinition {
  const { again: _, ...rest } = definition;
  return { ...rest, revision: definition.revision + 1 };
}

/** What the part read is no more: its stream was deleted, and the part of the one that is there now took its place. */
export function isBuried(definition: GroupDefinition, part: Part): boolean {
  const open = openPart(definition, part.stream);
  return open !== undefined && open.created !== part.created;
}

/** Everything that the part had to hand out is settled. */
export function withoutPart(definition: GroupDefinition, part: Part): GroupDefinition {
  return {
    ...definition,
    revision: definition.revision + 1,
    parts: definition.parts.filter((each) => each.revision !== part.revision || each.stream !== part.stream),
    dropped: [...definition.dropped, [part.stream, part.revision]],
  };
}

/** All begins anew, in consumers of other names. */
export function restarted(
  definition: GroupDefinition,
  streams: ReadonlyMap<string, StreamState>,
  starts: Readonly<Record<string, Start>>,
): GroupDefinition {
  const { change: _, again: __, ...rest } = definition;
  const revision = definition.revision + 1;
  const reads = definition.reads.filter(({ stream }) => streams.has(stream));
  return {
    ...rest,
    revision,
    first: revision,
    joined: true,
    parts: isOrdered(definition)
      ? []
      : reads.map(({ stream, patterns }) =>
          partOf(revision, stream, streams.get(stream)!.created, patterns, starts[stream] ?? oldest),
        ),
    starts: isOrdered(definition)
      ? starts
      : Object.fromEntries(reads.map(({ stream }) => [stream, starts[stream] ?? oldest])),
    dropped: [...definition.dropped, ...definition.parts.map((part) => [part.stream, part.revision] as const)],
  };
}

export function removed(definition: GroupDefinition): GroupDefinition {
  const { change: _, again: __, consumers: ___, ...rest } = definition;
  return {
    ...rest,
    revision: definition.revision + 1,
    gone: true,
    reads: [],
    parts: [],
    starts: {},
    dropped: [...definition.dropped, ...definition.parts.map((part) => [part.stream, part.revision] as const)],
  };
}

/**
 * What a member does with what a part delivered, by the definition as it knows it. `ask`: it reads the definition once more,
 * after the receipt; `wait`: the same until the end of the part stands.
 */
export function verdict(
  definition: GroupDefinition,
  part: { readonly stream: string; readonly revision: number },
  topic: string,
  sequence: number,
): "take" | "skip" | "ask" | "wait" {
  const known = definition.parts.find(({ stream, revision }) => stream === part.stream && revision === part.revision);
  if (known === undefined || (known.end !== undefined && sequence >= known.end)) return "skip";
  if (!matches(known.patterns, topic)) return "skip";
  const wanted = definition.reads.find(({ stream }) => stream === part.stream)?.patterns ?? [];
  if (known.end !== undefined || definition.change === undefined || same(known.patterns, wanted))
    return matches(wanted, topic) ? "take" : "skip";
  return definition.change.phase === "asked" ? "ask" : "wait";
}

export const openPart = (definition: GroupDefinition, stream: string): Part | undefined =>
  definition.parts.find((part) => part.stream === stream && part.end === undefined);

function partOf(revision: number, stream: string, created: string, patterns: readonly string[], start: Start): Part {
  return { revision, stream, created, patterns, start };
}

const same = (left: readonly string[], right: readonly string[]): boolean => left.join(" ") === right.join(" ");
const matches = (patterns: readonly string[], topic: string): boolean =>
  patterns.some((pattern) => matchesPattern(pattern, topic));

/** A stream of which nothing is wanted has no part: a consumer without filters would get everything. */
const some = (reads: GroupSpec["reads"]): GroupSpec["reads"] => reads.filter(({ patterns }) => patterns.length > 0);
