import { DriverError } from "../../internal/driver-error.ts";
import { consumerNames } from "./consumer-names.ts";
import type { Defined } from "./definition.ts";
import { nativeOf } from "./group-consumers.ts";
import { backfilled, completed, type GroupDefinition, isOrdered, moved, openPart, said } from "./group-plan.ts";
import { afterPosition, isOf, oldest, type Start, type StreamState } from "./group-start.ts";
import type { Chair } from "./members.ts";
import { streamOf } from "./notes.ts";
import type { Shared } from "./shared.ts";
import { sweep } from "./sweeping.ts";

export interface Joined {
  readonly found: Defined;
  readonly chair: Chair;
  /** A stream that the group had read was made again. */
  readonly lost: boolean;
  /** Somebody had joined it before. */
  readonly known: boolean;
}

/** A seat in a group, and its definition as one who sits there must heed it. */
export async function join(
  shared: Shared,
  group: string,
  resume: ReadonlyMap<string, string> | undefined,
): Promise<Joined> {
  const { definitions, members } = shared;
  for (;;) {
    const seen = await definitions.get(group);
    if (seen === undefined) throw missing(group);
    const { first, revision } = seen.definition;
    const chair = await members.sit(group, { first, knows: revision, state: "open" });
    try {
      // whoever changes it from now on waits for us; what was changed before we see here
      const found = await definitions.get(group);
      if (found === undefined) throw missing(group);
      if (found.definition.first === first) {
        const joined = await complete(shared, found, resume);
        if (joined !== undefined) {
          await chair.update({ knows: joined.found.definition.revision });
          if (joined.found.definition.dropped.length > 0)
            await sweep(shared, joined.found, { notes: false, queue: false });
          return { ...joined, chair, known: found.definition.joined };
        }
      }
      await chair.leave();
    } catch (error) {
      await chair.leave().catch(() => undefined); // the next renewal says so
      throw error;
    }
  }
}

/** A live group goes with its last member. */
export async function leaveGroup(shared: Shared, definition: GroupDefinition, chair: Chair): Promise<void> {
  const { definitions, members } = shared;
  await chair.leave();
  if (!definition.live) return;
  const found = await definitions.get(definition.group);
  if (found?.definition.first !== definition.first) return;
  await members.caughtUp(found.revision);
  const left = members.seats(definition.group, definition.first).filter(({ member }) => member !== chair.id);
  if (left.length === 0) await definitions.remove(definition.group);
}

const missing = (group: string): DriverError => new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);

/**
 * With a part for every stream that is there. Of a group that nobody has joined, and of a consumer that was deleted behind
 * everybody's back, the start is what `resume` says. Undefined: the definition was changed meanwhile.
 */
async function complete(
  shared: Shared,
  found: Defined,
  resume: ReadonlyMap<string, string> | undefined,
): Promise<Pick<Joined, "found" | "lost"> | undefined> {
  const { definition } = found;
  const streams = await shared.definitions.states(definition.reads);
  let next = completed(definition, streams) ?? definition;
  const lost = (resume?.size ?? 0) === 0 && next.again !== undefined; // who was there has said so
  if (next.again !== undefined) next = said(next);
  if (resume !== undefined && resume.size > 0) next = await resumed(shared, next, streams, resume);
  if (!next.joined) next = { ...next, joined: true, revision: next.revision + 1 };
  if (next === definition) return { found, lost };
  const stored = await shared.definitions.swap(next, found.revision);
  return stored === undefined ? undefined : { found: stored, lost };
}

async function resumed(
  shared: Shared,
  definition: GroupDefinition,
  streams: ReadonlyMap<string, StreamState>,
  resume: ReadonlyMap<string, string>,
): Promise<GroupDefinition> {
  let next = definition;
  if (isOrdered(definition)) return furtherBack(definition, streams, resume);
  for (const [stream, state] of streams) {
    const part = openPart(next, stream);
    const position = resume.get(stream);
    if (part === undefined || position === undefined || next.consumers?.[stream] !== undefined) continue;
    const name = consumerNames.part(next, part);
    const sequence = afterPosition(stream, position, state);
    const there = next.joined && (await shared.api.consumerInfo(nativeOf(shared, stream), name)) !== undefined;
    if (there) next = backfilled(next, stream, sequence);
    else if (!next.joined)
      next = { ...moved(next, part, { sequence }), starts: { ...next.starts, [stream]: { sequence } } };
    else if ("time" in part.start || sequence > part.start.sequence) next = moved(next, part, { sequence });
  }
  return next;
}

/** Of partitions that nobody has read yet in this incarnation. */
function furtherBack(
  definition: GroupDefinition,
  streams: ReadonlyMap<string, StreamState>,
  resume: ReadonlyMap<string, string>,
): GroupDefinition {
  const starts: Record<string, Start> = { ...definition.starts };
  let moved = false;
  for (const [partition, position] of resume) {
    const stream = streamOf(partition);
    const state = streams.get(stream);
    if (state === undefined) continue;
    const sequence = afterPosition(partition, position, state);
    const { created } = state;
    const said = starts[partition] ?? (definition.joined ? starts[stream] : undefined);
    const known = said === undefined || isOf(said, created) ? said : oldest; // as whoever takes it reads it
    if (known !== undefined && "sequence" in known && known.sequence <= sequence) continue;
    starts[partition] = { sequence, created };
    moved = true;
  }
  return moved ? { ...definition, starts, revision: definition.revision + 1 } : definition;
}
