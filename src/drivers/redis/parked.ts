import type { StoredMessage } from "../../driver.ts";
import { escapeName } from "./keys.ts";
import { listOf } from "./reply.ts";
import { inParts } from "./scheduled.ts";
import { parkScript, unparkScript } from "./scripts/scheduled.ts";
import type { Session } from "./session.ts";
import { decodeStored, encodeStored } from "./stored-frame.ts";

/** Later messages of a halted key, in order. */
export class Parked {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async add(list: string, messages: readonly StoredMessage[]): Promise<void> {
    const name = escapeName(list);
    for (const part of inParts(messages.map((message) => ({ frame: encodeStored(message) }))))
      await this.#session.run(parkScript, [name, ...part.map(({ frame }) => frame)]);
  }

  /** The oldest, which nobody else gets: they are taken. */
  async take(list: string, limit: number): Promise<readonly StoredMessage[]> {
    const name = escapeName(list);
    const found: StoredMessage[] = [];
    while (found.length < limit) {
      const asked = this.#session.run(unparkScript, [name, String(limit - found.length)]);
      // what was taken is nowhere else any more
      const frames = listOf(found.length === 0 ? await asked : await asked.catch(() => null));
      if (frames.length === 0) break;
      found.push(...frames.map((frame) => decodeStored(frame as Buffer)));
    }
    return found;
  }
}
