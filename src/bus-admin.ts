import type { GroupAdmin, GroupInfo, StreamAdmin } from "./admin.ts";
import type { Core } from "./core.ts";
import type { DriverConnection, StartAt, StreamInfo, StreamOptions } from "./driver.ts";
import { BusError } from "./errors.ts";
import { HaltedKeys } from "./halted-keys.ts";
import type { Positions } from "./handler.ts";
import { checkStream } from "./normalise.ts";
import { boolean, checkOptions, invalidOption, milliseconds } from "./option-check.ts";
import type { Routing } from "./routing.ts";
import { startAt } from "./group-member.ts";
import { doesHalt } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import { errorFields, type StatusBoard } from "./status-board.ts";
import { validateName, validatePattern } from "./topic.ts";
import { wrapError } from "./wrap-error.ts";

/** Asks the driver, with its errors wrapped and what it lacks refused. */
class Asker {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  async ask<Answer>(what: string, ask: (connection: DriverConnection) => Promise<Answer>): Promise<Answer> {
    const connection = await this.#broker.ready();
    try {
      return await ask(connection);
    } catch (error) {
      throw wrapError(this.#broker.driver, what, error);
    }
  }

  unsupported(what: string): BusError {
    return new BusError("BUS_UNSUPPORTED", `${what}: the driver "${this.#broker.driver.name}" can't`);
  }
}

export class BusStreamAdmin implements StreamAdmin {
  readonly #broker: Asker;
  readonly #routing: Routing;
  readonly #board: StatusBoard;
  readonly #refresh: () => Promise<void>;

  /** `refresh`: reads the routing table again. */
  constructor(core: Core, broker: Broker, routing: Routing, refresh: () => Promise<void>) {
    this.#board = core.board;
    this.#broker = new Asker(broker);
    this.#routing = routing;
    this.#refresh = refresh;
  }

  async ensure(
    stream: StreamOptions,
    options: { readonly dryRun?: boolean | undefined } = {},
  ): Promise<"created" | "unchanged" | "updated"> {
    checkOptions("streams.ensure", options, { dryRun: boolean });
    checkStream(stream);
    const dryRun = options.dryRun === true;
    const result = await this.#broker.ask(`stream "${stream.name}"`, (connection) =>
      connection.ensureStream(stream, dryRun),
    );
    if (!dryRun) await this.#refresh(); // also when it is unchanged: another process may have made it so
    return result;
  }

  async list(): Promise<readonly StreamInfo[]> {
    const streams = await this.#broker.ask("listing streams", ({ admin }) => admin.streams());
    // Who is told of another process's stream may publish to it, though the driver has not said so yet.
    if (this.#routing.differsFrom(streams))
      await this.#refresh().catch((error: unknown) =>
        this.#board.log("warn", "reading the routing table", errorFields(error)),
      );
    return streams;
  }

  async info(name: string): Promise<StreamInfo> {
    const found = (await this.list()).find((stream) => stream.name === name);
    if (found === undefined)
      throw new BusError("BUS_NOT_FOUND", `there is no stream "${validateName("stream", name)}"`);
    return found;
  }

  positions(name: string): Promise<Positions> {
    return this.#broker.ask(`stream "${name}"`, ({ admin }) => admin.positions(name));
  }

  trim(name: string, before: Date | { readonly positions: Positions }): Promise<number> {
    const to = point(before);
    return this.#broker.ask(`trimming stream "${name}"`, ({ admin }) => {
      if (admin.trim === undefined) throw this.#broker.unsupported("trimming a stream");
      return admin.trim(name, to);
    });
  }

  async delete(name: string): Promise<boolean> {
    const deleted = await this.#broker.ask(`deleting stream "${name}"`, ({ admin }) => admin.deleteStream(name));
    if (deleted) await this.#refresh();
    return deleted;
  }
}

export class BusGroupAdmin implements GroupAdmin {
  readonly #core: Core;
  readonly #broker: Asker;
  readonly #routing: Routing;

  constructor(core: Core, broker: Broker, routing: Routing) {
    this.#core = core;
    this.#broker = new Asker(broker);
    this.#routing = routing;
  }

  list(stream?: string): Promise<readonly GroupInfo[]> {
    return this.#broker.ask("listing groups", async ({ admin, capabilities }) => {
      const states = await admin.groups();
      const wanted =
        stream === undefined ? states : states.filter(({ spec }) => spec.reads.some((read) => read.stream === stream));
      return Promise.all(
        wanted.map(async ({ spec, waiting, inFlight, scheduled, oldestWaitingMs }): Promise<GroupInfo> => ({
          group: spec.group,
          streams: spec.reads.map((read) => read.stream),
          patterns: [...new Set(spec.reads.flatMap((read) => read.patterns))].sort(),
          order: spec.order ?? "none",
          members: await admin.members(spec.group),
          waiting,
          waitingExact: capabilities.filter === "native",
          inFlight,
          scheduled,
          deadLetters: await admin.countLetters(spec.group),
          oldestWaitingMs,
        })),
      );
    });
  }

  async info(group: string): Promise<GroupInfo> {
    const found = (await this.list()).find((each) => each.group === group);
    if (found === undefined) throw new BusError("BUS_NOT_FOUND", `there is no group "${validateName("group", group)}"`);
    return found;
  }

  async update(group: string, patterns: readonly string[]): Promise<void> {
    for (const pattern of patterns) validatePattern(pattern);
    if (patterns.length === 0) throw invalidOption("groups.update needs at least one pattern");
    await this.info(group);
    await this.#broker.ask(`group "${group}"`, ({ admin }) => admin.updateGroup(group, this.#routing.reads(patterns)));
  }

  async reset(group: string, from: "oldest" | "newest" | Date): Promise<void> {
    if (from !== "oldest" && from !== "newest" && !(from instanceof Date && !Number.isNaN(from.getTime())))
      throw invalidOption('groups.reset: must be "oldest", "newest" or a valid Date');
    await this.info(group);
    await this.#broker.ask(`resetting group "${group}"`, async (connection) => {
      const { admin } = connection;
      if (admin.resetGroup === undefined) throw this.#broker.unsupported("resetting a group");
      if (await hasHalted(connection, group))
        throw new BusError("BUS_CONFLICT", `group "${group}" has halted keys: replay or discard their letters first`);
      return await admin.resetGroup(group, startAt(from));
    });
  }

  async recover(
    group: string,
    options: { readonly idleMs?: number | undefined } = {},
  ): Promise<{ readonly redelivered: number }> {
    checkOptions("groups.recover", options, { idleMs: milliseconds });
    await this.info(group);
    const redelivered = await this.#broker.ask(`recovering group "${group}"`, ({ admin }) => {
      if (admin.recoverGroup === undefined) throw this.#broker.unsupported("recovering a group");
      return admin.recoverGroup(group, options.idleMs ?? 60_000);
    });
    this.#core.board.log("info", "group recovered", { group, redelivered });
    return { redelivered };
  }

  delete(group: string): Promise<boolean> {
    validateName("group", group);
    return this.#broker.ask(`deleting group "${group}"`, async (connection) => {
      const { admin, state } = connection;
      if (state === undefined && (await hasHalted(connection, group)))
        throw new BusError(
          "BUS_CONFLICT",
          `group "${group}" has halted keys, and what waits for them is in a state store that this bus does not have: discard their letters first`,
        );
      const halted = state === undefined ? undefined : new HaltedKeys(state, group);
      const former = (await halted?.all()) ?? [];
      const deleted = await admin.deleteGroup(group);
      // not what members who make the group again park meanwhile; a halt that gets no letter is of those before them
      await halted?.removeAll(former);
      const left = (await halted?.all()) ?? [];
      if (left.length > 0) {
        await new Promise<void>((resolve) => void this.#core.wheel.set(letterMs, resolve));
        await halted?.removeUnless(left, async (id) => (await admin.letter(`${group}/${id}`)) !== undefined);
      }
      return deleted;
    });
  }
}

const pageSize = 100;
/** Longer than it takes to store a letter when its key is halted. */
const letterMs = 1_000;

/** Where the store is not at hand, by their letters. */
async function hasHalted({ admin, state }: DriverConnection, group: string): Promise<boolean> {
  if (state !== undefined) return await new HaltedKeys(state, group).any();
  for (let after: string | undefined; ;) {
    const letters = await admin.letters(group, after, pageSize);
    if (letters.some(doesHalt)) return true;
    if (letters.length < pageSize) return false;
    after = letters.at(-1)?.id;
  }
}

function point(before: Date | { readonly positions: Positions }): StartAt {
  if (before instanceof Date) {
    if (Number.isNaN(before.getTime())) throw invalidOption("streams.trim: the Date is not valid");
    return { time: before.getTime() };
  }
  return { positions: before.positions };
}
