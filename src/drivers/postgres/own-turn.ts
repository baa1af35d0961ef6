import type { StoredMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { encodeHeaders } from "../../internal/rows/headers.ts";
import type { PartEntry } from "../../internal/rows/part.ts";
import type { Entry } from "../../internal/rows/settlements.ts";
import { bytesArray } from "./binary-array.ts";
import { ownKinds } from "./functions/own-turn.ts";
import type { GroupView } from "./group-view.ts";
import type { Row, Value } from "./link.ts";
import { messageOf } from "./message.ts";
import type { OwnMessage, OwnPart } from "./own-part.ts";
import { arrayOf, letterFields, numberOf, textArrayOf } from "./values.ts";

/** What a member settled and noted. */
export interface OwnBatch {
  readonly parts: Set<OwnPart>;
  /** Settled, and a note lies beside them. */
  readonly noted: OwnMessage[];
  readonly entries: Entry<PartEntry, StoredMessage>[];
}

export const newOwnBatch = (): OwnBatch => ({ parts: new Set(), noted: [], entries: [] });

/** The first, which was not answered, with what came since. */
export function joined(first: OwnBatch, { parts, noted, entries }: OwnBatch): OwnBatch {
  for (const part of parts) first.parts.add(part);
  first.noted.push(...noted);
  first.entries.push(...entries);
  return first;
}

/** Takes out, with its result, what is of a partition that is ours no more. */
export function takeLate(
  entries: OwnBatch["entries"],
  asked: ReadonlySet<object>,
  isOurs: (part: OwnPart) => boolean,
): OwnBatch["entries"] {
  const late: OwnBatch["entries"] = [];
  for (const entry of entries.splice(0)) {
    const ours = isOurs(entry.message.handle.part as OwnPart);
    if (!ours) entry.result = asked.has(entry) && entry.what.how !== "note" ? "unknown" : "stale";
    (ours ? entries : late).push(entry);
  }
  return late;
}

/** Gives what was asked for its result; the messages that were settled while their notes were written. */
export function written({ entries }: OwnBatch, isOurs: (part: OwnPart) => boolean): OwnMessage[] {
  const settled: OwnMessage[] = [];
  for (const entry of entries) {
    const { message, what } = entry;
    entry.result = isOurs(message.handle.part as OwnPart) ? "done" : "stale";
    if (what.how !== "note" || entry.result !== "done") continue;
    message.noted(encodeHeaders(what.headers));
    message.handle.noted = true;
    message.handle.waitsUntil = what.notBefore;
    if (message.over) settled.push(message);
  }
  return settled;
}

export const keepsItsPlace = (): DriverError =>
  new DriverError(
    "BUS_UNSUPPORTED",
    "postgres: a message of an ordered group keeps its place: it can't be retried or released by itself",
  );

export interface OwnTurn {
  readonly parts: readonly OwnPart[];
  readonly reads: ReadonlySet<OwnPart>;
  readonly batch: OwnBatch;
  readonly messages: number;
  readonly bytes: number;
}

/** The arguments of `own_turn`. */
export function turnValues(
  { parts, reads, batch, messages, bytes }: OwnTurn,
  view: GroupView,
  seat: number,
  session: number,
  group: number,
  lasting: boolean,
): Value[] {
  const index = new Map(parts.map((part, at) => [part, at + 1]));
  const partOf = ({ handle }: OwnMessage): number => index.get(handle.part as OwnPart) ?? 0;
  const { entries } = batch;
  return [
    String(seat),
    String(session),
    String(group),
    String(view.version),
    String(lasting),
    arrayOf(parts.map(({ stream }) => stream)),
    arrayOf(parts.map(({ number }) => number)),
    arrayOf(parts.map(({ n }) => n)),
    arrayOf(parts.map(({ cursor }) => cursor)),
    bytesArray(parts.map(({ done }) => done)),
    arrayOf(parts.map(({ out }) => out)),
    arrayOf(parts.map((part) => batch.parts.has(part))),
    arrayOf(parts.map((part) => (reads.has(part) ? part.next : null))),
    arrayOf(parts.map(({ most, outstanding }) => Math.min(messages, Math.max(0, most - outstanding)))),
    textArrayOf(parts.map(({ stream }) => view.patterns.get(stream) ?? null)),
    String(messages),
    String(bytes),
    arrayOf(batch.noted.map(partOf)),
    arrayOf(batch.noted.map(({ seq }) => seq)),
    entries.length === 0 ? null : JSON.stringify(entries.map((entry) => entryOf(entry, partOf(entry.message)))),
    entries.length === 0
      ? null
      : bytesArray(entries.map(({ what }) => (what.how === "dead" ? what.letter.body : null))),
  ];
}

function entryOf({ message, what }: Entry<PartEntry, StoredMessage>, part: number): object {
  const place = { part, seq: message.seq, how: what.how };
  if (what.how === "dead") return { ...place, letter: letterFields(what.letter) };
  if (what.how !== "note") return place; // refused before
  const notBefore = what.notBefore === undefined ? null : Math.ceil(what.notBefore);
  return {
    ...place,
    attempts: what.attempts,
    notBefore,
    deliveries: message.deliveries,
    headers: encodeHeaders(what.headers),
  };
}

interface Turned {
  /** Undefined: the group is gone. */
  readonly version: number | undefined;
  readonly roster: number;
  readonly unseated: boolean;
  /** It was asked for under an earlier session. */
  readonly old: boolean;
  readonly stale: ReadonlySet<OwnPart>;
  readonly messages: readonly OwnMessage[];
  readonly expired: number;
}

/** What is read of an answer, in its order. */
export const turnColumns = (body: string): string =>
  `o_kind, o_index, o_seq, o_last, o_count, o_topic, o_key, o_headers, ${body}`;

/** What `own_turn` answered; the parts have moved by it. */
export function turned(
  rows: readonly Row[],
  bodyOf: (text: string | null | undefined) => Uint8Array,
  { parts, reads, batch }: OwnTurn,
  view: GroupView,
): Turned {
  let [version, roster, unseated, expired]: [number | undefined, number, boolean, number] = [undefined, 0, false, 0];
  const stale = new Set<OwnPart>();
  const messages: OwnMessage[] = [];
  const outs = new Map<OwnPart, number>();
  const unread = new Set(reads); // there was no room left for those behind others
  let old = false;
  for (const row of rows) {
    const [kind, index, seqText, last, count] = row;
    const part = parts[Number(index)]!;
    const seq = numberOf(seqText);
    switch (Number(kind)) {
      case ownKinds.group:
        [version, roster] = [seq, numberOf(last)];
        break;
      case ownKinds.unseated:
        unseated = true;
        break;
      case ownKinds.old:
        old = true;
        break;
      case ownKinds.stale:
        stale.add(part);
        break;
      case ownKinds.message:
        outs.set(part, seq);
        take(part, seq, row, bodyOf, view, messages);
        break;
      default:
        part.reached(seq);
        unread.delete(part);
        if (seq < numberOf(last)) part.news = true; // or there was news meanwhile
        expired += numberOf(count);
    }
  }
  for (const part of unread) part.news = true;
  for (const [part, out] of outs) part.out = Math.max(part.out, out);
  for (const part of parts) if (!old && !stale.has(part) && (batch.parts.has(part) || outs.has(part))) part.wrote();
  return { version, roster, unseated, old, stale, messages, expired };
}

function take(
  part: OwnPart,
  seq: number,
  row: Row,
  bodyOf: (text: string | null | undefined) => Uint8Array,
  view: GroupView,
  messages: OwnMessage[],
): void {
  if (part.settledBefore(seq)) {
    part.push({ part, seq, settled: true, waitsUntil: undefined, noted: false, message: undefined });
    return;
  }
  const note = part.noteOf(seq);
  const notBefore = note?.not_before ?? undefined;
  const entry: PartEntry = {
    part,
    seq,
    settled: false,
    waitsUntil: notBefore,
    noted: note !== undefined,
    message: undefined,
  };
  const place = {
    deliveries: part.deliveriesOf(seq),
    attempts: note?.attempts ?? 0,
    notBefore,
    notes: note?.headers ?? null,
  };
  entry.message = messageOf(seq, row, 5, bodyOf, entry, view.lane(part.stream), part.name, place);
  part.push(entry);
  messages.push(entry.message);
}
