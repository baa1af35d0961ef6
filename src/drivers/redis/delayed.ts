import type { ScheduledMessage } from "../../driver.ts";
import { duePlaceText, numberedPlaceOf } from "../../internal/due-place.ts";
import { textsOf } from "./reply.ts";
import { cancelDelayedScript, delayedPageScript } from "./scripts/delayed.ts";
import type { Session } from "./session.ts";

const atOnce = 500;

/** What is published for later, looked at and taken back. */
export class Delayed {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async list(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const found: ScheduledMessage[] = [];
    while (found.length < limit) {
      const { due, number } = numberedPlaceOf(found.at(-1)?.position ?? after);
      const most = Math.min(limit - found.length, atOnce);
      const args = [String(Math.floor(due)), due < 0 ? "" : String(number), String(most)];
      const rows = textsOf(await this.#session.run(delayedPageScript, args));
      if (rows.length === 0) break; // a page of large ones may be a short one
      for (let at = 0; at < rows.length; at += 4) {
        const [rest = "", time = "", id = "", topic = ""] = rows.slice(at, at + 4);
        found.push({ id, topic, notBefore: Number(time), position: duePlaceText({ due: Number(time), rest }) });
      }
    }
    return found;
  }

  async cancel(ids: readonly string[]): Promise<readonly string[]> {
    const gone: string[] = [];
    for (let from = 0; from < ids.length; from += atOnce)
      gone.push(...textsOf(await this.#session.run(cancelDelayedScript, ids.slice(from, from + atOnce))));
    return gone;
  }
}
