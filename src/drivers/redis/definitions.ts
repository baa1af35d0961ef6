import type { GroupSpec } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { replyWord } from "./errors.ts";
import { changedSpec, grownSpec, newSpec } from "../../internal/group-spec.ts";
import { startText } from "./start-text.ts";
import { listOf, textOf } from "./reply.ts";
import { groupScript } from "./scripts/group.ts";
import type { Session } from "./session.ts";
import type { Streams } from "./streams.ts";

interface Stored {
  readonly spec: GroupSpec;
  readonly rev: string;
  /** What Redis calls it. */
  readonly name: string;
}

/** The definitions of groups, at the server: read, merged here, written if the revision still holds. */
export class Definitions {
  readonly #session: Session;
  readonly #streams: Streams;

  constructor(session: Session, streams: Streams) {
    this.#session = session;
    this.#streams = streams;
  }

  /** Made, or grown by what is asked. */
  async ensure(spec: GroupSpec): Promise<GroupSpec> {
    const wanted = this.#session.options.groupNames.get(spec.group);
    let stored = await this.read(spec.group);
    for (;;) {
      if (stored !== undefined && wanted !== undefined && stored.name !== wanted)
        throw new DriverError(
          "BUS_CONFLICT",
          `group (${spec.group}): at the server it is called "${stored.name}" already`,
        );
      const next = stored === undefined ? newSpec(spec) : grownSpec(stored.spec, spec);
      if (next === undefined) return stored!.spec;
      const outcome = await this.#write(next, stored);
      if (outcome === "written") return next;
      stored = outcome;
    }
  }

  /** With these patterns and no others. */
  async update(group: string, reads: GroupSpec["reads"]): Promise<void> {
    let stored = await this.read(group);
    for (;;) {
      if (stored === undefined) throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none of that name`);
      const outcome = await this.#write(changedSpec(stored.spec, reads), stored);
      if (outcome === "written") return;
      stored = outcome;
    }
  }

  async read(group: string): Promise<Stored | undefined> {
    const { keys } = this.#session;
    const name = keys.group(group);
    const [of, text] = await Promise.all([
      this.#session.command(["HMGET", keys.key("g", name), "rev", "name"]),
      this.#session.command(["HGET", keys.key("groups"), name]),
    ]);
    const [rev = null, called = null] = listOf(of);
    if (rev === null || text === null) return undefined;
    return { spec: specOf(textOf(text)), rev: textOf(rev), name: called === null ? name : textOf(called) };
  }

  async all(): Promise<readonly GroupSpec[]> {
    const found = listOf(await this.#session.command(["HVALS", this.#session.keys.key("groups")]));
    return found.map((text) => specOf(textOf(text)));
  }

  /** Undefined: it was deleted meanwhile; a definition: another one was quicker. */
  async #write(spec: GroupSpec, stored: Stored | undefined): Promise<"written" | Stored | undefined> {
    const { keys } = this.#session;
    const lanes: string[] = [];
    for (const { stream, patterns } of spec.reads) {
      const known = stored?.spec.reads.some((read) => read.stream === stream) === true;
      lanes.push(keys.stream(stream), patterns.join(" "), known ? "" : await this.#start(spec, stream, stored));
    }
    try {
      const [rev, , storedRev] = listOf(
        await this.#session.run(groupScript, [
          keys.group(spec.group),
          stored?.rev ?? "0",
          JSON.stringify(spec),
          spec.order === "group" ? "1" : "",
          spec.live ? "1" : "",
          this.#session.options.groupNames.get(spec.group) ?? "",
          ...lanes,
        ]),
      ).map(textOf);
      if (rev !== "") return "written";
      return storedRev === "0" ? undefined : await this.read(spec.group);
    } catch (error) {
      if (replyWord(error) === "CONFLICT")
        throw new DriverError("BUS_CONFLICT", `group (${spec.group}): another group is called so at the server`, {
          cause: error,
        });
      if (replyWord(error) !== "NOSTREAM") throw error;
      throw new DriverError("BUS_NOT_FOUND", `group (${spec.group}): it reads a stream that is not there`, {
        cause: error,
      });
    }
  }

  /** Only a new group starts where it is asked to; a stream that is added later is read from its oldest. */
  async #start(spec: GroupSpec, stream: string, stored: Stored | undefined): Promise<string> {
    if (stored !== undefined) return spec.live ? "$" : "0";
    if ("positions" in spec.from) {
      const { partitions } = (await this.#streams.get(stream)) ?? { partitions: 0 };
      return startText(spec.from, spec.live, stream, partitions) || "0";
    }
    return startText(spec.from, spec.live, stream, 0);
  }
}

export function specOf(text: string): GroupSpec {
  const spec = JSON.parse(text) as GroupSpec;
  return { ...spec, order: spec.order ?? undefined };
}
