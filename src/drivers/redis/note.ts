import type { Headers } from "../../driver.ts";
import { decodeHeaders } from "./frame.ts";

/** What is kept beside a message that stays delivered. */
export interface NoteText {
  readonly attempts: number;
  /** Ms since the epoch. */
  readonly notBefore: number | undefined;
  readonly headers: Headers;
}

const nothing: NoteText = { attempts: 0, notBefore: undefined, headers: [] };

export function encodeNote({ attempts, notBefore, headers }: NoteText): string {
  return JSON.stringify({ a: attempts, n: notBefore, h: headers });
}

/** "": none. */
export function decodeNote(text: string): NoteText {
  if (text === "") return nothing;
  const { a, n, h } = JSON.parse(text) as { readonly a: number; readonly n?: number; readonly h: unknown };
  return { attempts: a, notBefore: n, headers: decodeHeaders(JSON.stringify(h)) };
}
