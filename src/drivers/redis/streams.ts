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
      const plan = planStream(stream, await this.#table(), attachment !== undefined);
      const fields = laneFields(plan, attachment);
      try {
        const outcome = await session.run(streamScript, [
          escapeName(stream.name),
          rev,
          dryRun ? "1" : "",
          session.process,
          JSON.stringify(plan),
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
    return [...(await this.#table()).values()];
  }

  async #checkKey(name: string, key: string): Promise<void> {
    const type = String(await this.#session.command(["TYPE", key]));
    if (type !== "none" && type !== "stream")
      throw new DriverError("BUS_CONFLICT", `stream (${name}): the key "${key}" holds a ${type}`);
  }

  async #table(): Promise<ReadonlyMap<string, StoredStream>> {
    const found = (await this.#session.command(["HGETALL", this.#session.keys.key("streams")])) as readonly Reply[];
    const streams = new Map<string, StoredStream>();
    for (let at = 0; at < found.length; at += 2)
      streams.set(unescapeName(String(found[at])), parsed(found[at + 1] as Reply));
    return streams;
  }
}

const parsed = (json: Reply): StoredStream => {
  const { maxMessages, ...rest } = JSON.parse(String(json)) as StoredStream;
  return { ...rest, maxMessages };
};
