import { balance } from "../../internal/partition-balance.ts";
import type { NoteRow } from "../../internal/rows/part.ts";
import type { GroupView } from "./group-view.ts";
import { OwnPart } from "./own-part.ts";
import type { Session } from "./session.ts";
import { arrayOf, bytesOf, numberOf } from "./values.ts";

export interface ShareChange {
  /** Ours from now on. */
  readonly gained: readonly OwnPart[];
  /** Ours still, another's as soon as nothing of them runs. */
  readonly draining: ReadonlySet<OwnPart>;
  /** No longer ours. */
  readonly lost: readonly OwnPart[];
  /** What retention dropped of ours; undefined: nobody knows how much. */
  readonly missed: number | undefined;
  readonly roster: number;
  /** We gave some up, or took some: others look again. */
  readonly moved: boolean;
}

interface Place {
  readonly stream: number;
  readonly partition: number;
  readonly member: number | null;
  readonly epoch: number;
}

/** Which partitions of an ordered group this member is to own; every member reckons the same from the same rows. Undefined: it has no seat. */
export async function shareOut(
  session: Session,
  view: GroupView,
  group: number,
  { seat, session: line }: { readonly seat: number; readonly session: number },
  parts: ReadonlyMap<string, OwnPart>,
  done: (part: OwnPart) => boolean,
): Promise<ShareChange | undefined> {
  const { worker } = session;
  const [of] = await worker.query("SELECT roster FROM {grp} WHERE id = $1", [String(group)]);
  const seats = await worker.query("SELECT id FROM {member} WHERE grp = $1 ORDER BY id", [String(group)]);
  const rows = await worker.query(
    "SELECT stream, partition, member, epoch FROM {place} WHERE grp = $1 ORDER BY partition, stream",
    [String(group)],
  );
  if (of === undefined || !seats.some(([id]) => numberOf(id) === seat)) return undefined;
  const places = rows.map(([stream, partition, member = null, epoch]): Place => ({
    stream: numberOf(stream),
    partition: numberOf(partition),
    member: member === null ? null : Number(member),
    epoch: numberOf(epoch),
  }));
  const current = new Map(
    places.flatMap(({ member }, index) => (member === null ? [] : [[index, String(member)] as const])),
  );
  const wanted = balance(
    places.map((_, index) => index),
    seats.map(([id]) => id ?? ""),
    current,
  );
  const take: Place[] = [];
  const give: Place[] = [];
  const draining = new Set<OwnPart>();
  const lost: OwnPart[] = [];
  for (const [index, place] of places.entries()) {
    const ours = wanted.get(index) === String(seat);
    const held = parts.get(view.name(place.stream, place.partition));
    if (place.member === seat && held !== undefined && held.epoch === place.epoch) {
      if (!ours && done(held)) {
        give.push(place);
        lost.push(held);
      } else if (!ours) draining.add(held);
      continue;
    }
    if (held !== undefined) lost.push(held);
    if (place.member === seat) give.push(place); // its answer was lost, or it was taken for a partition that we don't know
    else if (ours && place.member === null && view.patterns.has(place.stream)) take.push(place);
  }
  const known = new Set(places.map(({ stream, partition }) => view.name(stream, partition)));
  for (const [name, part] of parts) if (!known.has(name)) lost.push(part);
  const answer = await worker.query("SELECT * FROM {1:share}($1, $2, $3, $4, $5, $6, $7, $8)", [
    String(seat),
    String(line),
    String(group),
    arrayOf(take.map(({ stream }) => stream)),
    arrayOf(take.map(({ partition }) => partition)),
    arrayOf(give.map(({ stream }) => stream)),
    arrayOf(give.map(({ partition }) => partition)),
    arrayOf(give.map(({ epoch }) => epoch)),
  ]);
  if (answer.length === 0) return undefined;
  let missed: number | undefined = numberOf(answer.at(-1)?.[7]);
  const gained: OwnPart[] = [];
  for (const [streamId, number, epoch, cursorText, doneBytes, outs, first] of answer.slice(0, -1)) {
    const [stream, partition, cursor] = [numberOf(streamId), numberOf(number), numberOf(cursorText)];
    const taken = {
      stream,
      partition,
      epoch: numberOf(epoch),
      cursor,
      done: doneBytes === null || doneBytes === undefined ? null : bytesOf(doneBytes),
      outs: (outs ?? "{}").slice(1, -1).split(",").filter(Boolean).map(Number),
    };
    if (cursor < numberOf(first) - 1 && taken.outs.some((out) => out > cursor)) missed = undefined;
    gained.push(new OwnPart(taken, view.name(stream, partition), await notesOf(session, group, taken)));
  }
  return { gained, draining, lost, missed, roster: numberOf(of[0]), moved: give.length > 0 };
}

async function notesOf(
  session: Session,
  group: number,
  { stream, partition, cursor }: { readonly stream: number; readonly partition: number; readonly cursor: number },
): Promise<NoteRow[]> {
  const rows = await session.worker.query(
    "SELECT seq, attempts, not_before, headers FROM {held} WHERE grp = $1 AND stream = $2 AND partition = $3 AND seq > $4",
    [String(group), String(stream), String(partition), String(cursor)],
  );
  return rows.map(([seq, attempts, notBefore, headers]) => ({
    seq: numberOf(seq),
    attempts: numberOf(attempts),
    not_before: notBefore === null || notBefore === undefined ? null : Number(notBefore),
    headers: headers ?? null,
  }));
}

/** What the server has in a member's hands: of each partition the epoch. */
export async function ownedBy(session: Session, view: GroupView, seat: number): Promise<ReadonlyMap<string, number>> {
  const rows = await session.worker.query("SELECT stream, partition, epoch FROM {place} WHERE member = $1", [
    String(seat),
  ]);
  return new Map(
    rows.map(([stream, partition, epoch]) => [view.name(numberOf(stream), numberOf(partition)), numberOf(epoch)]),
  );
}

/** Where a group stands, by partition. */
export async function floorsOf(
  session: Session,
  view: GroupView,
  group: number,
): Promise<readonly (readonly [name: string, floor: string])[]> {
  const rows = await session.desk.query("SELECT * FROM {1:floors}(NULL, $1)", [String(group)]);
  return rows.map(([, stream, partition, floor]) => [view.name(numberOf(stream), numberOf(partition)), String(floor)]);
}
