import type { BusEvent } from "../index.ts";
import { when } from "./human.ts";
import { jsonText, printable } from "./printable.ts";

/** One line for people: when, where, what. */
export function eventLine(event: BusEvent): string {
  const key = event.key === undefined ? "" : ` key=${event.key}`;
  const type = event.topic.endsWith(event.type) ? "" : ` type=${event.type}`;
  return printable(`${when(event.time)}  ${event.topic}${type}${key}  ${event.id}  ${jsonText(event.data)}`);
}

/** All of an event's attributes as plain data. */
export function eventJson(event: BusEvent): Record<string, unknown> {
  const { id, type, version, topic, source, time, key, session, correlationId, causationId, priority, metadata, data } =
    event;
  return { id, type, version, topic, source, time, key, session, correlationId, causationId, priority, metadata, data };
}
