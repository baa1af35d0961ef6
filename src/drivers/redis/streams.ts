import type { StreamOptions } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { replyWord } from "./errors.ts";
import { escapeName, unescapeName } from "./keys.ts";
import { laneFields } from "./lane-fields.ts";
import type { Reply } from "./link.ts";
import { streamScript } from "./scripts/stream.ts";
import type { Session } from "./session.ts";
import { planStream, type StoredStream } from "./stream-plan.ts";

export type { StoredStream } from "./stream-plan.ts";

/** The streams as they are at the server, which is asked each time: nobody asks on the way of a message. */
export class Streams {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** By compare-and-set on the revision of all routes: a topic is captured by one stream. */
  async ensure(stream: StreamOptions, dryRun: boolean): Promise<"created" | "unchanged" | "updated"> {
    const session = this.#session;
    const attachment = session.options.attach[stream.name];
    if (attachment !== undefined) await this.#checkKey(stream.name, attachment.key);
    for (;;) {
      const rev = String((await session.command(["HGET", session.keys.base, "rev"])) ?? "0");
      const rows = await this.#rows();
      const plan = planStream(stream, tableOf(rows), attachment);
      const json = JSON.stringify(plan);
      // a full server refuses the script, also where there is nothing to do
      if (rows.get(stream.name) === json) return "unchanged";
      const fields = laneFields(plan);
      try {
        const outcome = await session.run(streamScript, [
          escapeName(stream.name),
          rev,
          dryRun ? "1" : "",
          session.process,
          json,
          ...Object.entries(fields).flat(),
        ]);
        return String(outcome) as "created" | "unchanged" | "updated";
      } catch (error) {
        if (replyWord(error) !== "CONFLICT") throw error;
      }
    }
  }

  async get(name: string): Promise<StoredStream | undefined> {
    const json = await this.#session.command(["HGET", this.#session.keys.key("streams"), escapeName(name)]);
    return json === null ? undefined : parsed(json);
  }

  async all(): Promise<readonly StoredStream[]> {
    return [...tableOf(await this.#rows()).values()];
  }

  async #checkKey(name: string, key: string): Promise<void> {
    const type = String(await this.#session.command(["TYPE", key]));
    if (type !== "none" && type !== "stream")
      throw new DriverError("BUS_CONFLICT", `stream (${name}): the key "${key}" holds a ${type}`);
  }

  async #rows(): Promise<ReadonlyMap<string, string>> {
    const found = (await this.#session.command(["HGETALL", this.#session.keys.key("streams")])) as readonly Reply[];
    const rows = new Map<string, string>();
    for (let at = 0; at < found.length; at += 2) rows.set(unescapeName(String(found[at])), String(found[at + 1]));
    return rows;
  }
}

const tableOf = (rows: ReadonlyMap<string, string>): ReadonlyMap<string, StoredStream> =>
  new Map([...rows].map(([name, json]) => [name, parsed(json)]));

const parsed = (json: Reply | string): StoredStream => {
  const { maxMessages, attach, ...rest } = JSON.parse(String(json)) as StoredStream;
  return { ...rest, maxMessages, attach };
};
