import type { Address, StoredMessage } from "../../driver.ts";
import { decodeHeaders, encodeHeaders, FrameReader, FrameWriter } from "./frame.ts";

/** A letter, a scheduled or a parked message, as it is kept. */
export function encodeStored(message: StoredMessage): Buffer {
  return new FrameWriter(256 + message.body.byteLength)
    .text(message.id)
    .text(JSON.stringify(message.to))
    .text(optional(message.group))
    .text(message.topic)
    .text(optional(message.key))
    .text(encodeHeaders(message.headers))
    .bytes(message.body)
    .text(String(message.storedAt))
    .text(message.notBefore === undefined ? "" : String(message.notBefore))
    .finish();
}

export function decodeStored(frame: Buffer): StoredMessage {
  const reader = new FrameReader(frame);
  const id = reader.text();
  const to = JSON.parse(reader.text()) as Address;
  const group = given(reader.text());
  const topic = reader.text();
  const key = given(reader.text());
  const headers = decodeHeaders(reader.text());
  const body = new Uint8Array(reader.bytes());
  const storedAt = Number(reader.text());
  const notBefore = reader.text();
  return {
    id,
    to,
    group,
    topic,
    key,
    headers,
    body,
    storedAt,
    notBefore: notBefore === "" ? undefined : Number(notBefore),
  };
}

/** "" is none, so that an empty text is something else. */
export const optional = (value: string | undefined): string => (value === undefined ? "" : `.${value}`);
export const given = (text: string): string | undefined => (text === "" ? undefined : text.slice(1));
