import type { InMessage } from "./driver.ts";
import { BusError } from "./errors.ts";
import { placeOf } from "./foreign.ts";
import { header } from "./wire-names.ts";
import { reasonOf, redact } from "./wrap-error.ts";
import type { Work } from "./work.ts";

const historyLimit = 5;
const errorLimit = 500;

export const writeNames = (names: Iterable<string>): string => [...names].map(encodeURIComponent).join(",");

/** Broken or forged lists read as what can be read of them. */
export function readNames(value: string | undefined): Set<string> | undefined {
  if (value === undefined || value === "") return undefined;
  const names = new Set<string>();
  for (const each of value.slice(0, 16_384).split(",")) {
    try {
      names.add(decodeURIComponent(each));
    } catch {
      names.add(each);
    }
  }
  return names;
}

/** What the history says: only notes are believed, or what came by the group's own queue, which no publisher writes. */
export function noteOf(message: Pick<InMessage, "note" | "header" | "lane">, name: string): string | undefined {
  return message.note(name) ?? (message.lane === "queue" ? message.header(name) : undefined);
}

/** What earlier attempts left in the message's headers; read once per delivery. */
export function readHistory(work: Work): void {
  const { message } = work;
  work.done ??= readNames(noteOf(message, header.handlersDone));
  work.givenUp ??= readNames(noteOf(message, header.handlersFailed));
  work.firstFailedAt ??= readTime(message, header.firstFailedAt);
  if (work.history.length === 0) work.history = readErrors(noteOf(message, header.history));
}

/** Of one that was noted to be given up, by a member that stored no letter: what it was given up for. */
export function givenUpFor(work: Work): BusError | undefined {
  if (work.message.note(header.givenUp) === undefined) return undefined;
  readHistory(work);
  return new BusError("BUS_HANDLER", work.history.at(-1)?.error ?? "it was given up before");
}

/** The headers that carry it on: to the next attempt, or into a letter. */
export function historyHeaders(work: Work): [string, string][] {
  const headers: [string, string][] = [];
  if (work.done !== undefined && work.done.size > 0) headers.push([header.handlersDone, writeNames(work.done)]);
  if (work.givenUp !== undefined && work.givenUp.size > 0)
    headers.push([header.handlersFailed, writeNames(work.givenUp)]);
  if (work.firstFailedAt !== undefined) headers.push([header.firstFailedAt, String(work.firstFailedAt)]);
  if (work.history.length > 0) headers.push([header.history, JSON.stringify(work.history)]);
  const placeId = placeIdOf(work);
  if (placeId !== undefined) headers.push([header.placeId, encodeURIComponent(placeId)]);
  const only = noteOf(work.message, header.handlersOnly);
  if (only !== undefined) headers.push([header.handlersOnly, only]);
  return headers;
}

/** Where it stood in its stream, as partition and position with a colon between: also of a copy, which has a place of its own. */
export function firstPlace(message: InMessage): string | undefined {
  const noted = noteOf(message, header.firstPlace);
  if (noted !== undefined || message.lane !== "stream") return noted;
  const { partition, position } = message;
  return partition === undefined || position === undefined ? undefined : `${partition}:${position}`;
}

/** Of one that goes on as a copy, or may. */
export function copyHeaders(work: Work): [string, string][] {
  const place = firstPlace(work.message);
  return place === undefined ? historyHeaders(work) : [...historyHeaders(work), [header.firstPlace, place]];
}

/** The id that was made for a foreign message when it came first. */
export function notedPlaceId(message: Pick<InMessage, "note" | "header" | "lane">): string | undefined {
  const noted = noteOf(message, header.placeId);
  return noted === undefined ? undefined : [...(readNames(noted) ?? [])][0];
}

function placeIdOf({ message, envelope }: Work): string | undefined {
  const noted = notedPlaceId(message);
  if (noted !== undefined || envelope === undefined || message.value !== undefined) return noted;
  return envelope.id === placeOf(message) ? envelope.id : undefined;
}

export function noteFailure(work: Work, error: unknown, now: number): void {
  work.firstFailedAt ??= now;
  work.history = [...work.history, { at: now, error: redact(reasonOf(error)).slice(0, errorLimit) }].slice(
    -historyLimit,
  );
}

function readTime(message: InMessage, name: string): number | undefined {
  const value = Number(noteOf(message, name));
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

export function readErrors(value: string | undefined): { readonly at: number; readonly error: string }[] {
  if (value === undefined || value.length > 65_536) return [];
  try {
    const list: unknown = JSON.parse(value);
    if (!Array.isArray(list)) return [];
    return list.flatMap((each: unknown) => {
      const { at, error } = Object(each) as { readonly at?: unknown; readonly error?: unknown };
      return typeof at === "number" && typeof error === "string" ? [{ at, error }] : [];
    });
  } catch {
    return []; // forged or cut: the message itself is whole
  }
}
