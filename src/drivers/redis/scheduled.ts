import type { ScheduledMessage, StoredMessage } from "../../driver.ts";
import { duePlaceOf, duePlaceText } from "../../internal/due-place.ts";
import type { Arg } from "./link.ts";
import { listOf, numberOf, textsOf } from "./reply.ts";
import { dueScript, scheduledScript, scheduleScript, unscheduleScript } from "./scripts/scheduled.ts";
import type { Session } from "./session.ts";
import { decodeStored, encodeStored } from "./stored-frame.ts";

const mostAtOnce = 128;
const mostBytesAtOnce = 256 * 1_024;
/** Ids in one script. */
const idsAtOnce = 500;

/** In parts that keep a script short; each is one step, in order. */
function* inParts<Item extends { readonly frame: Buffer }>(items: Iterable<Item>): Generator<readonly Item[]> {
  let part: Item[] = [];
  let bytes = 0;
  for (const item of items) {
    if (part.length >= mostAtOnce || (part.length > 0 && bytes + item.frame.length > mostBytesAtOnce)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(item);
    bytes += item.frame.length;
  }
  if (part.length > 0) yield part;
}

/** What is due later, moved on by the core under a lease. */
export class Scheduled {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async add(messages: readonly StoredMessage[]): Promise<void> {
    const now = this.#session.clock.now();
    const items = messages.map((message) => ({ message, frame: encodeStored(message) }));
    for (const part of inParts(items)) {
      const args = part.flatMap(({ message, frame }): Arg[] => {
        const { id, notBefore } = message;
        return [notBefore === undefined ? "" : String(Math.ceil(notBefore - now)), id, frame];
      });
      await this.#session.run(scheduleScript, args);
    }
  }

  /** `now` only tells how far from now is looked: the server's time decides. */
  async due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    const ahead = String(Math.floor(now - this.#session.clock.now()));
    const most = String(Math.min(limit, idsAtOnce));
    const frames = listOf(await this.#session.run(dueScript, [ahead, most, String(leaseMs)]));
    return frames.map((frame) => decodeStored(frame as Buffer));
  }

  /** Soonest first, of one time by the bytes of their ids. */
  async list(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const found: ScheduledMessage[] = [];
    while (found.length < limit) {
      const { due, rest } = duePlaceOf(found.at(-1)?.position ?? after);
      const most = String(Math.min(limit - found.length, idsAtOnce));
      const rows = listOf(await this.#session.run(scheduledScript, [String(Math.floor(due)), rest, most]));
      if (rows.length === 0) break; // a page of large ones may be a short one
      for (let at = 0; at < rows.length; at += 2) {
        const { id, topic, notBefore = 0 } = decodeStored(rows[at + 1] as Buffer);
        found.push({ id, topic, notBefore, position: duePlaceText({ due: numberOf(rows[at]), rest: id }) });
      }
    }
    return found;
  }

  async remove(ids: readonly string[], untaken: boolean): Promise<readonly string[]> {
    const removed: string[] = [];
    for (let from = 0; from < ids.length; from += idsAtOnce) {
      const args = [untaken ? "1" : "", ...ids.slice(from, from + idsAtOnce)];
      removed.push(...textsOf(await this.#session.run(unscheduleScript, args)));
    }
    return removed;
  }
}
