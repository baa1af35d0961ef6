import type { StoredMessage } from "../../driver.ts";
import type { Arg, Reply } from "./link.ts";
import { listOf, numberOf, textOf, textsOf } from "./reply.ts";
import type { Script } from "./script.ts";
import { claimScript, countLettersScript, letterScript, lettersScript, removeScript } from "./scripts/letters.ts";
import type { Session } from "./session.ts";
import { decodeStored } from "./stored-frame.ts";

/** Ids in one script. */
const atOnce = 500;

/** Dead letters: one for each id, whatever copies there are; oldest first. */
export class Letters {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async list(group: string | undefined, after: string | undefined, limit: number): Promise<readonly StoredMessage[]> {
    const found: StoredMessage[] = [];
    let cursor = after === undefined ? "" : `=${after}`;
    while (found.length < limit) {
      const [next, ...frames] = listOf(
        await this.#session.run(lettersScript, [this.#index(group), cursor, String(limit - found.length)]),
      );
      found.push(...frames.map(letterIn));
      cursor = textOf(next);
      if (cursor === "") break;
    }
    return found;
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    const frame = await this.#session.run(letterScript, [id]);
    return frame === null ? undefined : letterIn(frame);
  }

  async count(group: string | undefined): Promise<number> {
    return numberOf(await this.#session.run(countLettersScript, [this.#index(group)]));
  }

  claim(ids: readonly string[], token: string, leaseMs: number): Promise<readonly string[]> {
    return this.#inParts(claimScript, [token, String(leaseMs)], ids);
  }

  remove(ids: readonly string[], token: string): Promise<readonly string[]> {
    return this.#inParts(removeScript, [token], ids);
  }

  async #inParts(script: Script, head: readonly Arg[], ids: readonly string[]): Promise<readonly string[]> {
    const done: string[] = [];
    for (let from = 0; from < ids.length; from += atOnce)
      done.push(...textsOf(await this.#session.run(script, [...head, ...ids.slice(from, from + atOnce)])));
    return done;
  }

  #index(group: string | undefined): string {
    return group === undefined ? "" : this.#session.keys.group(group);
  }
}

/** Its group stands before it. */
function letterIn(kept: Reply): StoredMessage {
  const frame = kept as Buffer;
  return decodeStored(frame.subarray(2 + frame.readUInt16BE(0)));
}
