import { encodeEnvelope } from "./codec.ts";
import type { Headers, InMessage, StoredMessage } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { isBusError } from "./errors.ts";
import { firstPlace, historyHeaders, noteOf, writeNames } from "./message-history.ts";
import { isReject } from "./verdict.ts";
import { header, headerPrefix } from "./wire-names.ts";
import type { Work } from "./work.ts";
import { reasonOf, redact, textOf } from "./wrap-error.ts";

/** Nobody knows for whom such a letter waited: its replay is for all but those that are done. */
export const noHandler = "BUS_NO_HANDLER";
const stackLimit = 8_192;
const messageLimit = 1_024;

/**
 * Of what can't be read: made of its place. What its key was halted by, or what was parked, keeps the id that it had then, though it can
 * be read by now, or not any more.
 */
export function eventIdOf({ envelope, message }: Work, now: number): string {
  return (
    haltingId(message) ??
    message.note(header.letterEventId) ??
    envelope?.id ??
    `${message.partition ?? message.lane}/${message.position ?? now}`
  );
}

/** Of a replayed or discarded letter that its key waits for: its event. What somebody else wrote there is taken as it is. */
export function haltingId(message: InMessage): string | undefined {
  const text = message.lane === "queue" ? message.header(header.halts) : undefined;
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The dead letter of a work: the message as it came, and beside it why, who and when; `halts`: its key waits for what becomes of it. */
export function letterOf(work: Work, group: string, error: unknown, now: number, halts: boolean): StoredMessage {
  const { message } = work;
  const eventId = eventIdOf(work, now);
  const reason = describe(error);
  const encoded = work.envelope !== undefined && message.value !== undefined ? encodedOf(work.envelope) : undefined;
  const headers: [string, string][] = [
    ...((encoded?.headers ?? message.headers()) as Headers)
      .filter(([name]) => !name.startsWith(headerPrefix))
      .map(([name, value]): [string, string] => [name, value]),
    ...historyHeaders(work).filter(
      ([name]) => name !== header.handlersOnly && (name !== header.handlersDone || reason.code === noHandler),
    ),
    [header.letterEventId, eventId],
    [header.letterAttempts, String(work.attempts)],
    [header.failedAt, String(now)],
    [header.reasonCode, reason.code],
    [header.reasonName, reason.name],
    [header.reasonMessage, reason.message],
    [header.replays, noteOf(message, header.replays) ?? "0"],
  ];
  if (halts) headers.push([header.letterHalts, "1"]);
  if (reason.stack !== undefined) headers.push([header.reasonStack, reason.stack]);
  if (work.firstFailedAt === undefined) headers.push([header.firstFailedAt, String(now)]);
  const place = firstPlace(message);
  const partition = place === undefined ? message.partition : place.slice(0, place.indexOf(":"));
  if (partition !== undefined && (place !== undefined || message.lane === "stream"))
    headers.push([header.letterStream, /^.*(?=\/)/s.exec(partition)?.[0] ?? partition]);
  if (place !== undefined) headers.push([header.letterPosition, place]);
  else if (message.position !== undefined)
    headers.push([header.letterPosition, `${message.partition ?? ""}:${message.position}`]);
  if (work.givenUp === undefined) headers.push([header.handlersFailed, writeNames([])]);
  return {
    id: `${group}/${eventId}`,
    to: { kind: "queue", group, topic: message.topic },
    group,
    topic: message.topic,
    key: message.key,
    headers,
    body: encoded?.body ?? message.body,
    storedAt: now,
    notBefore: undefined,
  };
}

/** Of a message that never was encoded; data that can't be leaves a letter without a body, which says so when it is read. */
export function encodedOf(envelope: Envelope): { readonly headers: Headers; readonly body: Uint8Array } {
  try {
    return encodeEnvelope(envelope, {
      mode: "structured",
      compression: undefined,
      maxMessageBytes: Number.MAX_SAFE_INTEGER,
    });
  } catch {
    return { headers: [], body: new Uint8Array(0) };
  }
}

function describe(error: unknown): {
  readonly code: string;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
} {
  const clean = (text: string, limit: number): string => redact(text).slice(0, limit);
  const own = textOf(error, "code"); // a handler's own error code, where it looks like one
  const stack = isBusError(error) ? undefined : textOf(error, "stack");
  return {
    code: own !== undefined && !isReject(error) && /^[\w.-]{1,60}$/.test(own) ? own : "BUS_HANDLER",
    name: clean(textOf(error, "name") ?? typeof error, 100),
    message: clean(reasonOf(error), messageLimit),
    stack: stack === undefined ? undefined : clean(stack, stackLimit),
  };
}
