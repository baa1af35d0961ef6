import { ValidationError } from "./errors.ts";
import { undecodable } from "./undecodable.ts";

const rfc3339 = /^\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(?:\.\d+)?(?:z|[+-]\d\d:\d\d)$/i;

// Many events share a millisecond, so the last answer is kept.
let writtenTime = Number.NaN;
let writtenText = "";
let readText = "";
let readTime = 0;

/** RFC 3339, in UTC. */
export function timeText(time: number): string {
  if (time === writtenTime) return writtenText;
  const date = new Date(time);
  const year = date.getUTCFullYear();
  if (!(year >= 0 && year <= 9_999)) throw new ValidationError("invalid time: its year is not from 0 to 9999", []);
  writtenText = date.toISOString();
  writtenTime = time;
  return writtenText;
}

/** Ms since the epoch. Throws BUS_UNDECODABLE for anything but RFC 3339, so for a time without a zone too. */
export function timeFrom(text: unknown): number {
  if (text === readText) return readTime;
  const time = typeof text === "string" && text.length < 64 && rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) throw undecodable("the time is not RFC 3339 with a zone");
  readText = text as string;
  readTime = time;
  return time;
}
