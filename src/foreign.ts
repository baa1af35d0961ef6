import { attributeProblem } from "./attribute.ts";
import { checkSize, type EncodedMessage } from "./codec.ts";
import type { Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError } from "./errors.ts";
import type { BusEvent, Priority } from "./event.ts";
import { describeKind } from "./internal/describe.ts";
import { headerProblem } from "./internal/header-problem.ts";
import type { ForeignEvent, ForeignFormat } from "./options.ts";
import { validateTopic } from "./topic.ts";
import { undecodable } from "./undecodable.ts";

/** A foreign message, and its place, from which an id is made where it has none. */
export type ForeignMessage = EncodedMessage & {
  readonly position?: string | undefined;
  readonly partition?: string | undefined;
  /** Of one that came before, from another place: the id that was made for it then. */
  readonly placeId?: string | undefined;
};

const priorities: ReadonlySet<unknown> = new Set<Priority>(["low", "normal", "high", "critical"]);

/**
 * The envelope of another system's message. What the format does not say is made up: the id from the message's first place, so
 * that a second delivery has the same one (from the body where there is no place), the type from the topic's last token, the
 * source from the format's name, the time from `now`. Throws BUS_UNDECODABLE; what the format threw is the cause.
 */
export function decodeForeign(format: ForeignFormat, message: ForeignMessage, now: number): Envelope {
  const { topic } = message;
  const which = `(format ${format.name})`;
  const event = decoded(format, message, which);
  const text = (name: string, value: unknown): string | undefined => {
    if (value === undefined || value === null) return undefined;
    const problem =
      typeof value === "string" ? attributeProblem(value) : `it must be a string, not ${describeKind(value)}`;
    if (problem !== undefined) throw undecodable(`${name}: ${problem} ${which}`);
    return value as string;
  };
  const { priority, metadata, time } = event;
  if (priority !== undefined && !priorities.has(priority)) throw undecodable(`priority: it is none of ours ${which}`);
  if (metadata !== undefined && (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)))
    throw undecodable(`metadata: it must be an object, not ${describeKind(metadata)} ${which}`);
  if (time !== undefined && (!(time instanceof Date) || Number.isNaN(time.getTime())))
    throw undecodable(`time: it must be a valid Date ${which}`);
  return {
    id: text("id", event.id ?? message.placeId) ?? placeOf(message),
    type: text("type", event.type) ?? topic.slice(topic.lastIndexOf(".") + 1),
    version: 1,
    topic: checkedTopic(topic),
    source: text("source", event.source) ?? format.name,
    time: time?.getTime() ?? now,
    key: text("key", event.key ?? message.key),
    session: text("session", event.session),
    correlationId: text("correlationId", event.correlationId),
    causationId: undefined,
    priority: priority ?? "normal",
    metadata,
    maxAttempts: undefined,
    data: event.data,
  };
}

/**
 * An event as another system wants it. Throws BUS_UNSUPPORTED when the format only reads, BUS_INVALID_DATA when it failed or
 * made headers that a broker would refuse or we keep for ourselves, BUS_TOO_LARGE.
 */
export function encodeForeign(
  format: ForeignFormat,
  event: BusEvent,
  maxMessageBytes: number = Number.POSITIVE_INFINITY,
): { readonly headers: Headers; readonly body: Uint8Array } {
  const which = `(format ${format.name}, event ${event.type})`;
  if (format.encode === undefined) throw new BusError("BUS_UNSUPPORTED", `can't write ${which}: it has no encode`);
  let made: ReturnType<NonNullable<ForeignFormat["encode"]>>;
  try {
    made = format.encode(event);
  } catch (cause) {
    if (cause instanceof BusError) throw cause;
    throw new BusError("BUS_INVALID_DATA", `can't write ${which}: it failed`, { cause });
  }
  const headers = Object.entries(made.headers ?? {}) as (readonly [string, string])[];
  const problem = made.body instanceof Uint8Array ? headerProblem(headers) : "its body is no Uint8Array";
  if (problem !== undefined) throw new BusError("BUS_INVALID_DATA", `can't write ${which}: ${problem}`);
  checkSize(event.type, headers, made.body, maxMessageBytes);
  return { headers, body: made.body };
}

function decoded(format: ForeignFormat, message: ForeignMessage, which: string): ForeignEvent {
  let event: ForeignEvent;
  try {
    event = format.decode(message.body, (name) => message.header(name));
  } catch (cause) {
    if (cause instanceof BusError && cause.code === "BUS_UNDECODABLE") throw cause;
    throw undecodable(`it could not be read ${which}`, cause);
  }
  if (typeof event !== "object" || event === null) throw undecodable(`nothing was read ${which}`);
  return event;
}

function checkedTopic(topic: string): string {
  try {
    return validateTopic(topic);
  } catch (error) {
    throw undecodable((error as BusError).message);
  }
}

/** An id that is the same wherever the message is delivered from the same place. */
export function placeOf({ topic, partition, position, body }: ForeignMessage): string {
  const place = position === undefined ? undefined : `${partition ?? topic}@${position}`;
  if (place !== undefined && attributeProblem(place) === undefined) return place;
  const { createHash } = process.getBuiltinModule("node:crypto"); // rarely needed, and it takes 4 ms to load
  const hash = createHash("sha256")
    .update(place ?? topic)
    .update("\0");
  return `sha256-${(place === undefined ? hash.update(body) : hash).digest("hex")}`;
}
