import type { Address, Headers, StoredMessage } from "../../driver.ts";
import { valueOf } from "./message.ts";

/** Everything but the body, as JSON. */
export const storedHeader = "Omnibus-Stored";

interface Stored {
  readonly id: string;
  readonly to: Address;
  readonly group?: string;
  readonly topic: string;
  readonly key?: string;
  readonly headers: Headers;
  readonly storedAt: number;
  readonly notBefore?: number;
}

/** A letter, a parked or a scheduled message at the server: the body as it was published, and a header for all else. */
export function encodeStored(message: StoredMessage): Headers {
  return [[storedHeader, JSON.stringify({ ...message, body: undefined })]];
}

/** Undefined: what another program wrote there. */
export function decodeStored(headers: Headers, body: Uint8Array): StoredMessage | undefined {
  const text = valueOf(headers, storedHeader);
  if (text === undefined) return undefined;
  try {
    const { id, to, group, topic, key, headers: own, storedAt, notBefore } = JSON.parse(text) as Stored;
    if (typeof id !== "string" || typeof to !== "object" || !Array.isArray(own)) return undefined;
    // a copy: the client's bytes are a piece of all that was read with them
    return { id, to, group, topic, key, headers: own, body: new Uint8Array(body), storedAt, notBefore };
  } catch {
    return undefined;
  }
}
