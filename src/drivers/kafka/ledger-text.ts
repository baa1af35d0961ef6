import type { Range } from "./ledger.ts";

/** The broker counts characters, not bytes (4,096 by default). */
const mostCharacters = 4_000;
const version = "1";

export interface LedgerNote {
  readonly offset: number;
  readonly attempts: number;
  /** Ms since the epoch. */
  readonly notBefore: number | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** What stands beside a committed offset. */
export interface LedgerEntry {
  /** Of the topic: another one of that name has other offsets. */
  readonly topicId: string;
  /** Of the group's definition, by which its owner goes. */
  readonly revision: number;
  /** Below it anything may have been handed out. */
  readonly handed: number;
  /** Below it a former owner may have handed anything out. */
  readonly suspect: number;
  /** In hand now, and of these waiting for a time. */
  readonly held: number;
  readonly timed: number;
  readonly ranges: readonly Range[];
  readonly notes: readonly LedgerNote[];
}

const word = (value: number): string => value.toString(36);
const value = (text: string | undefined): number => Number.parseInt(text ?? "", 36);

/**
 * Fields by `|`, offsets relative to the committed one. Undefined: its notes don't fit. Of the ranges those that are farthest are
 * left out when it would be too long: they are handled again after a crash, and nothing else is lost with them.
 */
export function ledgerText(floor: number, entry: LedgerEntry, longest: number = mostCharacters): string | undefined {
  const above = (offset: number): string => word(Math.max(0, offset - floor));
  const notes = JSON.stringify(
    entry.notes.map(({ offset, attempts, notBefore, headers }) => [offset - floor, attempts, notBefore ?? 0, headers]),
  );
  const head = [version, entry.topicId, word(entry.revision), above(entry.handed), above(entry.suspect)];
  const start = [...head, word(entry.held), word(entry.timed), ""].join("|");
  const end = `|${notes}`;
  if (start.length + end.length > longest) return undefined;
  let ranges = "";
  let last = floor;
  for (const [from, to] of entry.ranges) {
    const next = `${ranges === "" ? "" : ","}${word(from - last)}.${word(to - from)}`;
    if (start.length + ranges.length + next.length + end.length > longest) break;
    ranges += next;
    last = to;
  }
  return start + ranges + end;
}

/** Any version of ours wrote it. */
export const isLedger = (text: string | null): boolean => /^\d+\|/.test(text ?? "");

/** Undefined: not ours, of another version, or of another topic of that name. */
export function parseLedger(floor: number, text: string | null, topicId: string): LedgerEntry | undefined {
  const fields = (text ?? "").split("|");
  const [found, id, revision, handed, suspect, held, timed, ranges = ""] = fields;
  if (found !== version || id !== topicId || fields.length < 9) return undefined;
  const numbers = [revision, handed, suspect, held, timed].map(value);
  if (numbers.some((each) => !Number.isSafeInteger(each) || each < 0)) return undefined;
  const [atRevision = 0, upTo = 0, suspectTo = 0, inHand = 0, waiting = 0] = numbers;
  const settled = parseRanges(floor, ranges);
  const notes = parseNotes(floor, fields.slice(8).join("|"));
  if (settled === undefined || notes === undefined) return undefined;
  return {
    topicId,
    revision: atRevision,
    handed: floor + upTo,
    suspect: floor + suspectTo,
    held: inHand,
    timed: waiting,
    ranges: settled,
    notes,
  };
}

function parseRanges(floor: number, text: string): readonly Range[] | undefined {
  const ranges: Range[] = [];
  let last = floor;
  for (const each of text === "" ? [] : text.split(",")) {
    const [gap, length] = each.split(".").map(value);
    if (gap === undefined || length === undefined || !(gap >= 0) || !(length > 0)) return undefined;
    ranges.push([last + gap, last + gap + length]);
    last += gap + length;
  }
  return ranges;
}

function parseNotes(floor: number, text: string): readonly LedgerNote[] | undefined {
  try {
    const rows = JSON.parse(text) as readonly (readonly [number, number, number, LedgerNote["headers"]])[];
    return rows.map(([above, attempts, notBefore, headers]) => ({
      offset: floor + above,
      attempts,
      notBefore: notBefore === 0 ? undefined : notBefore,
      headers,
    }));
  } catch {
    return undefined;
  }
}
