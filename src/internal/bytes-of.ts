import { isAnyArrayBuffer, isUint8Array } from "node:util/types";

/** Data that is bytes as a whole: a Uint8Array (a Buffer is one), an ArrayBuffer or a SharedArrayBuffer. Not a copy. */
export function bytesOf(data: unknown): Uint8Array | undefined {
  if (isUint8Array(data)) return data;
  return isAnyArrayBuffer(data) ? new Uint8Array(data) : undefined;
}
