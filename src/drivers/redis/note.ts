import type { Headers } from "../../driver.ts";
import { decodeHeaders } from "./frame.ts";

/** What is kept beside a message that stays delivered. */
export interface NoteText {
  readonly attempts: number;
  readonly headers: Headers;
}

const nothing: NoteText = { attempts: 0, headers: [] };

export function encodeNote({ attempts, headers }: NoteText): string {
  return JSON.stringify({ a: attempts, h: headers });
}

/** "": none. */
export function decodeNote(text: string): NoteText {
  if (text === "") return nothing;
  const { a, h } = JSON.parse(text) as { readonly a: number; readonly h: unknown };
  return { attempts: a, headers: decodeHeaders(JSON.stringify(h)) };
}
