import type { StoredMessage, Address, Headers } from "../../driver.ts";
import type { Row } from "./link.ts";
import { escapeText, unescapeText } from "./text-escape.ts";

/** `\x…` */
export const bytesOf = (text: string | null | undefined): Buffer =>
  text === null || text === undefined ? Buffer.alloc(0) : Buffer.from(text.slice(2), "hex");

export const numberOf = (text: string | null | undefined): number => Number(text ?? Number.NaN);

/** `{…}` of whole numbers or nothing. */
export const arrayOf = (values: readonly (number | string | boolean | null)[]): string =>
  `{${values.map((value) => (value === null ? "NULL" : String(value))).join(",")}}`;

export const storedColumns = "id, address, grp, topic, key, headers, body, stored_at, not_before";

export function storedMessage([id, address, grp, topic, key, headers, body, storedAt, notBefore]: Row): StoredMessage {
  const plain = (text: string | null | undefined): string | undefined =>
    text === null || text === undefined ? undefined : unescapeText(text);
  return {
    id: plain(id) ?? "",
    to: JSON.parse(address ?? "null") as Address,
    group: plain(grp),
    topic: plain(topic) ?? "",
    key: plain(key),
    headers: JSON.parse(headers ?? "[]") as Headers,
    body: bytesOf(body),
    storedAt: numberOf(storedAt),
    notBefore: notBefore === null || notBefore === undefined ? undefined : Number(notBefore),
  };
}

/** All of it but the body, for JSON in a parameter. */
export function letterFields({ id, to, group, topic, key, headers, storedAt, notBefore }: StoredMessage): object {
  return {
    id: escapeText(id),
    address: JSON.stringify(to),
    group: group === undefined ? null : escapeText(group),
    topic: escapeText(topic),
    key: key === undefined ? null : escapeText(key),
    headers: JSON.stringify(headers),
    storedAt: Math.round(storedAt),
    notBefore: notBefore === undefined ? null : Math.round(notBefore),
  };
}

/** `$1, $2, …` */
export const marks = (count: number): string => Array.from({ length: count }, (_, at) => `$${at + 1}`).join(", ");

export const textArrayOf = (texts: readonly (string | null)[]): string =>
  `{${texts.map((text) => (text === null ? "NULL" : `"${text.replaceAll(/["\\]/g, "\\$&")}"`)).join(",")}}`;
