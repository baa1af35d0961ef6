import type { Headers, Note, Settlement } from "../../driver.ts";
import { replyWord } from "./errors.ts";
import type { Arg } from "./link.ts";
import { valueOf, type RedisMessage } from "./message.ts";
import { encodeNote } from "./note.ts";
import { textsOf } from "./reply.ts";
import type { Seat } from "./seat.ts";
import { noteScript } from "./scripts/note.ts";
import { settleScript } from "./scripts/settle.ts";
import { encodeStored } from "./stored-frame.ts";

type Result = "done" | "stale" | "unknown";

const atOnce = 128;
const letters: Readonly<Record<Settlement["how"], string>> = { retry: "t", release: "l", dead: "d" };

/** `member`: the id of the process, by which a released message knows who had it. */
export async function settle(
  seat: Seat,
  member: string,
  batch: readonly Settlement[],
  lost: (error: unknown) => void,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < batch.length; from += atOnce) {
    const part = batch.slice(from, from + atOnce);
    const args: Arg[] = [member];
    for (const settlement of part) {
      const message = settlement.message as RedisMessage;
      args.push(letters[settlement.how], message.ref!, message.id!);
      message.mayBeNoted();
      if (settlement.how === "dead") args.push("0", "", settlement.letter.id, encodeStored(settlement.letter));
      else args.push(String(settlement.delayMs), noteOf(message, settlement), "", "");
    }
    try {
      for (const text of textsOf(await seat.run(settleScript, args))) results.push(text === "+" ? "done" : "stale");
    } catch (error) {
      const result = failed(error, lost);
      for (const _ of part) results.push(result);
    }
  }
  return results;
}

/** Rejects when it is not known whether it was written. `now`: by our clock; the server is told what time is left by it. */
export async function record(
  seat: Seat,
  now: number,
  notes: readonly Note[],
  lost: (error: unknown) => void,
): Promise<("done" | "stale")[]> {
  const results: ("done" | "stale")[] = [];
  for (let from = 0; from < notes.length; from += atOnce) {
    const part = notes.slice(from, from + atOnce);
    const texts = part.map((note) => noteOf(note.message as RedisMessage, note));
    const args = part.flatMap((note, index) => {
      const message = note.message as RedisMessage;
      message.mayBeNoted();
      const ms = note.notBefore === undefined ? "" : String(Math.round(note.notBefore - now));
      return [message.ref!, message.id!, texts[index]!, ms];
    });
    try {
      for (const [index, text] of textsOf(await seat.run(noteScript, args)).entries()) {
        results.push(text === "+" ? "done" : "stale");
        if (text === "+") (part[index]!.message as RedisMessage).noteWas(texts[index]!, part[index]!.notBefore);
      }
    } catch (error) {
      if (failed(error, lost) === "unknown") throw error;
      for (const _ of part) results.push("stale");
    }
  }
  return results;
}

function failed(error: unknown, lost: (error: unknown) => void): "stale" | "unknown" {
  const word = replyWord(error);
  if (word !== "STALE" && word !== "GONE") return "unknown";
  lost(error);
  return "stale";
}

/** What is said now, added to what was said before. */
function noteOf(message: RedisMessage, said: { readonly attempts?: number; readonly headers: Headers }): string {
  const { attempts = message.attempts, headers } = said;
  const before = message.notes().filter(([name]) => valueOf(headers, name) === undefined);
  return encodeNote({ attempts, headers: [...before, ...headers] });
}
