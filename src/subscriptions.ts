import type { Core } from "./core.ts";
import { within } from "./deadline.ts";
import type { DriverConnection, StartAt } from "./driver.ts";
import { Ephemeral } from "./ephemeral.ts";
import { BusError } from "./errors.ts";
import { FanOut, type FanOutSource, type Receiver } from "./fan-out.ts";
import { GroupMember } from "./group-member.ts";
import type { BusEvent } from "./event.ts";
import { type BaseRunner, HandlerRunner, type Interest, type PublishCaused } from "./handler-runner.ts";
import type { Handler } from "./handler.ts";
import { defaultName } from "./interest.ts";
import type { ResolvedSubscribe } from "./normalise.ts";
import type { Routing } from "./routing.ts";
import { BusSubscription } from "./subscription.ts";
import { errorFields } from "./status-board.ts";
import type { Broker } from "./supervisor.ts";
import { wrapError } from "./wrap-error.ts";

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

/** Of handing back, when one subscription ends. */
const closeMs = 10_000;

/** One subscription, and how to start and to end it. */
interface Entry {
  readonly subscription: BusSubscription;
  readonly runner: BaseRunner;
  readonly options: ResolvedSubscribe;
  state: "declared" | "starting" | "started" | "closed";
  member: GroupMember | undefined;
  ephemeral: Ephemeral | undefined;
  /** Under way, or how it ended; whoever ends the subscription waits for it. */
  starting: Promise<void> | undefined;
  /** Takes the abort listener away. */
  release: () => void;
}

interface OwnMember {
  readonly member: GroupMember;
  /** For the first time. */
  readonly opened: Promise<void>;
}

/** Everything of this bus that receives events: members of groups, subscribers on their own, and the consumptions they share. */
export class Subscriptions {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #routing: Routing;
  readonly #entries = new Set<Entry>();
  readonly #members = new Map<string, OwnMember>();
  /** Unsubscribed, with handlers that still run. */
  readonly #ending = new Map<GroupMember | Ephemeral, Promise<void>>();
  readonly #tails = new Map<string, FanOut>();
  readonly #directs = new Map<string | undefined, FanOut>();
  /** Per group: the names in use; of those that were made here, how far their ordinals are. */
  readonly #names = new Map<string | undefined, Map<string, number>>();
  #count = 0;

  constructor(core: Core, broker: Broker, routing: Routing) {
    this.#core = core;
    this.#broker = broker;
    this.#routing = routing;
  }

  get all(): readonly BusSubscription[] {
    return [...this.#entries].map((entry) => entry.subscription);
  }
  get members(): readonly GroupMember[] {
    return [...this.#members.values()].map(({ member }) => member);
  }
  get fanOuts(): readonly FanOut[] {
    return [...this.#tails.values(), ...this.#directs.values()];
  }

  /** A handler's name in its group: given and unique, or made unique. */
  nameFor(group: string | undefined, given: string | undefined, base: string): string {
    let taken = this.#names.get(group);
    if (taken === undefined) this.#names.set(group, (taken = new Map()));
    if (given !== undefined) {
      if (taken.has(given))
        throw new BusError(
          "BUS_CONFLICT",
          `the handler name "${given}" is taken in ${group === undefined ? "this bus" : `group "${group}" of this bus`}`,
        );
      return given;
    }
    let ordinal = taken.get(base) ?? 0;
    let name: string;
    do name = ++ordinal === 1 ? base : `${base}#${ordinal}`;
    while (ordinal > 1 ? taken.has(name) : taken.has(base));
    taken.set(base, ordinal);
    return name;
  }

  /** A handler of single events. */
  async handle(
    interest: Interest,
    handler: Handler<BusEvent>,
    options: ResolvedSubscribe,
    publish: PublishCaused,
    declareOnly: boolean,
  ): Promise<BusSubscription> {
    const name = this.nameFor(options.group, options.name, defaultName(interest));
    return this.add(new HandlerRunner(this.#core, name, interest, options, handler, publish), options, declareOnly);
  }

  /** Declared only while the bus has never connected; else it runs when it resolves. */
  async add(runner: BaseRunner, options: ResolvedSubscribe, declareOnly: boolean): Promise<BusSubscription> {
    this.#checkAlike(options, runner);
    const entry: Entry = {
      options,
      runner,
      starting: undefined,
      release: () => undefined,
      state: "declared",
      member: undefined,
      ephemeral: undefined,
      subscription: new BusSubscription(`sub-${++this.#count}`, options.group, runner, {
        state: () => this.#stateOf(entry),
        unsubscribe: (timeoutMs) => this.#remove(entry, timeoutMs),
      }),
    };
    if (isAborted(options.signal)) throw new BusError("BUS_ABORTED", "subscribing: aborted by the caller");
    const names = this.#names.get(options.group);
    if (names !== undefined && !names.has(runner.name)) names.set(runner.name, 1);
    this.#entries.add(entry);
    this.#core.counters.subscriptions += 1;
    this.#listen(entry);
    if (!declareOnly) await this.#start(entry);
    if (isAborted(options.signal)) throw new BusError("BUS_ABORTED", "subscribing: aborted by the caller");
    this.#core.board.log("info", "subscribed", {
      subscription: entry.subscription.id,
      handler: runner.name,
      group: options.group,
      patterns: runner.patterns,
    });
    return entry.subscription;
  }

  /** Starts what is declared; resolves when all of it runs. */
  async startAll(): Promise<void> {
    await Promise.all(
      [...this.#entries].filter((entry) => entry.state === "declared").map((entry) => this.#start(entry)),
    );
  }

  /** The routing table changed: tails of streams that are gone end; groups and tails read those that are new, from their oldest. */
  async rerouted(connection: DriverConnection): Promise<void> {
    const { streams } = this.#routing;
    const gone = [...this.#tails].filter(([stream]) => !streams.includes(stream));
    for (const [stream, fanOut] of gone) {
      this.#tails.delete(stream);
      for (const { ephemeral } of this.#entries) ephemeral?.leave(fanOut);
    }
    const closing = gone.map(([, fanOut]) =>
      fanOut.close(AbortSignal.abort()).catch((error: unknown) => fanOut.supervisor.untold("leaving", error)),
    );
    await Promise.all(closing);
    await Promise.all([...this.#members.values()].map(({ member }) => member.prepare(connection)));
    for (const entry of this.#entries)
      if (entry.ephemeral !== undefined) await this.#tail(entry.ephemeral, { at: "oldest" });
  }

  #listen(entry: Entry): void {
    const { signal } = entry.options;
    const abort = (): void =>
      void this.#remove(entry, 30_000).catch((error: unknown) =>
        this.#core.board.log("error", "unsubscribing failed", errorFields(error)),
      );
    entry.release = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort, { once: true });
  }

  /** Nothing is delivered or started any more; resolves when no handler runs. */
  async stop(): Promise<void> {
    const leaving = [...this.#members].map(([group, { member }]) => this.leaveDirect(group, member));
    await Promise.all([...leaving, ...this.#parts.map((part) => part.stop())]);
  }

  /** Aborts what still runs; how many handlers that cut off. */
  cutOff(reason: unknown): number {
    return this.#parts.reduce((sum, part) => sum + part.cutOff(reason), 0);
  }

  /** After `stop` or `cutOff`: hands back what is unsettled. */
  async close(signal: AbortSignal): Promise<void> {
    for (const entry of this.#entries) {
      entry.release();
      entry.state = "closed";
    }
    const said = (error: unknown): void => this.#core.board.log("warn", "closing", errorFields(error));
    await Promise.all([
      ...[...this.members, ...this.fanOuts].map((each) => each.close(signal).catch(said)),
      ...[...this.#ending.values()].map((ended) => ended.catch(() => undefined)), // whoever unsubscribed hears of it
    ]);
    this.#entries.clear();
    this.#members.clear();
  }

  get #parts(): readonly (GroupMember | Ephemeral)[] {
    const ephemerals = [...this.#entries].flatMap(({ ephemeral }) => ephemeral ?? []);
    return [...new Set([...this.members, ...ephemerals, ...this.#ending.keys()])];
  }

  /** The end of the direct lane for a group, or for those without one. */
  async listenDirect(group: string | undefined, receiver: Receiver): Promise<void> {
    await this.#fanOut(this.#directs, group, { kind: "direct", group }).add(receiver);
  }

  /** Or, of a member that stays, what it no longer wants of it. Never rejects. */
  async leaveDirect(group: string | undefined, receiver: Receiver, stays = false): Promise<void> {
    await this.#directs.get(group)?.remove(receiver, stays);
    this.#sweep();
  }

  #stateOf(entry: Entry): "declared" | "running" | "recovering" | "closed" {
    if (entry.state === "closed") return "closed";
    if (entry.state !== "started") return "declared";
    const states = [
      entry.member?.supervisor.state,
      ...[...(entry.ephemeral?.sources ?? [])].map((source) => source.supervisor.state),
    ].filter((state) => state !== undefined);
    if (states.includes("closed")) return "closed";
    return states.every((state) => state === "running") ? "running" : "recovering";
  }

  #checkAlike(options: ResolvedSubscribe, runner: BaseRunner): void {
    if (options.group === undefined) return;
    let alike: Entry | undefined;
    for (const entry of this.#entries) if (entry.options.group === options.group) alike = entry;
    if (alike === undefined) return;
    const what = `group "${options.group}" of this bus has another handler with`;
    if (alike.runner.exclusive || runner.exclusive)
      throw new BusError("BUS_CONFLICT", `group "${options.group}" of this bus: pull and handlers exclude each other`);
    if (alike.options.live !== options.live)
      throw new BusError("BUS_CONFLICT", `${what} "live": ${alike.options.live}`);
    const order = alike.options.order ?? alike.member?.order;
    if (options.order !== undefined && order !== undefined && order !== options.order)
      throw new BusError("BUS_CONFLICT", `${what} "order": "${order}"`);
    const { exhausted } = alike.options.retry;
    if ((exhausted === "halt-key") !== (options.retry.exhausted === "halt-key"))
      throw new BusError("BUS_CONFLICT", `${what} "retry.exhausted": "${exhausted}"`);
    if (alike.options.runAhead !== options.runAhead)
      throw new BusError("BUS_CONFLICT", `${what} "runAhead": ${alike.options.runAhead}`);
  }

  #start(entry: Entry): Promise<void> {
    entry.state = "starting";
    return (entry.starting = this.#open(entry));
  }

  async #open(entry: Entry): Promise<void> {
    try {
      if (entry.options.group === undefined) await this.#startEphemeral(entry);
      else await this.#startMember(entry, entry.options.group);
      if (entry.state === "starting") entry.state = "started";
    } catch (error) {
      entry.state = "closed";
      this.#forget(entry);
      throw wrapError(this.#broker.driver, "subscribing", error);
    }
  }

  #forget(entry: Entry): boolean {
    if (!this.#entries.delete(entry)) return false;
    entry.release();
    this.#core.counters.subscriptions -= 1;
    this.#names.get(entry.options.group)?.delete(entry.runner.name);
    return true;
  }

  async #startMember(entry: Entry, group: string): Promise<void> {
    const { runner } = entry;
    const existing = this.#members.get(group);
    if (existing !== undefined) {
      const { member, opened } = existing;
      entry.member = member;
      member.add(runner); // from now on it stays open for this one
      try {
        await opened;
        await member.open(); // it may have been given up
        await member.prepare(await this.#broker.ready());
        await this.listenDirect(group, member);
      } catch (error) {
        this.#leave(member, runner, 30_000).catch((failure: unknown) => member.supervisor.untold("leaving", failure));
        throw error;
      }
      return;
    }
    const { live, order, from, runAhead, retry } = entry.options;
    const halts = retry.exhausted === "halt-key";
    const options = { group, live, order, from, runAhead, halts };
    const member = new GroupMember(this.#core, this.#broker, this.#routing, options);
    member.add(runner);
    entry.member = member;
    const opened = this.listenDirect(group, member).then(() => member.open());
    this.#members.set(group, { member, opened });
    try {
      await opened;
    } catch (error) {
      this.#members.delete(group);
      void this.leaveDirect(group, member);
      throw error;
    }
  }

  async #startEphemeral(entry: Entry): Promise<void> {
    const ephemeral = new Ephemeral(this.#core, entry.runner, {
      ordered: entry.options.order !== "none",
      bufferSize: entry.options.bufferSize,
    });
    entry.ephemeral = ephemeral;
    await this.#broker.ready(); // the routing table comes with the connection
    const direct = this.#fanOut(this.#directs, undefined, { kind: "direct", group: undefined });
    const listening = await Promise.allSettled([ephemeral.listen(direct), this.#tail(ephemeral, { at: "newest" })]);
    const failed = listening.find(({ status }) => status === "rejected") as PromiseRejectedResult | undefined;
    if (failed === undefined) return;
    await ephemeral.stop(); // or it would get what comes by the other one
    this.#sweep();
    throw failed.reason;
  }

  async #tail(ephemeral: Ephemeral, from: StartAt): Promise<void> {
    const listening = this.#routing.reads(ephemeral.patterns).flatMap(({ stream }) => {
      const fanOut = this.#fanOut(this.#tails, stream, { kind: "tail", stream }, from);
      return ephemeral.sources.has(fanOut) ? [] : [ephemeral.listen(fanOut)];
    });
    await Promise.all(listening);
  }

  async #remove(entry: Entry, timeoutMs: number): Promise<boolean> {
    if (!this.#forget(entry)) return false;
    if (entry.starting !== undefined) await Promise.allSettled([entry.starting]);
    const { runner, ephemeral, member } = entry;
    const wasOpen = entry.state === "started";
    entry.state = "closed";
    if (!wasOpen) return true;
    if (ephemeral !== undefined) {
      await this.#end(ephemeral, async () => {
        if (!(await within(this.#core.wheel, timeoutMs, ephemeral.stop()))) runner.abortAll(ending());
      });
      this.#sweep();
    } else if (member !== undefined) await this.#leave(member, runner, timeoutMs);
    return true;
  }

  /** A handler leaves its group; the last one takes the member along. */
  async #leave(member: GroupMember, runner: BaseRunner, timeoutMs: number): Promise<void> {
    const { group } = member.options;
    const { wheel } = this.#core;
    if (this.#members.get(group)?.member !== member) return; // it never opened
    if (member.runners.size > 1) {
      member.remove(runner);
      runner.giveBack();
      const left = Promise.all([this.leaveDirect(group, member, true), runner.quiet()]);
      if (!(await within(wheel, timeoutMs, left))) runner.abortAll(ending());
      return;
    }
    this.#members.delete(group);
    await this.#end(member, async () => {
      const stopped = Promise.all([this.leaveDirect(group, member), member.stop()]);
      if (!(await within(wheel, timeoutMs, stopped))) member.cutOff(ending());
      const force = new AbortController();
      const closed = member.close(force.signal);
      if (await within(wheel, closeMs, closed)) return;
      force.abort(ending());
      await closed;
    });
  }

  /** While it ends, the bus's own close waits for it, up to its last settlement, and cuts it off. */
  async #end(part: GroupMember | Ephemeral, work: () => Promise<void>): Promise<void> {
    const ended = work();
    this.#ending.set(part, ended);
    try {
      await ended;
    } finally {
      this.#ending.delete(part);
    }
  }

  #fanOut<Key>(map: Map<Key, FanOut>, key: Key, source: FanOutSource, from?: StartAt): FanOut {
    let fanOut = map.get(key);
    if (fanOut === undefined) map.set(key, (fanOut = new FanOut(this.#core, this.#broker, source, from)));
    return fanOut;
  }

  /** Fan-outs that nobody listens to any more. */
  #sweep(): void {
    for (const map of [this.#tails, this.#directs] as readonly Map<string | undefined, FanOut>[])
      for (const [key, fanOut] of map) if (fanOut.empty) map.delete(key);
  }
}

const ending = (): BusError => new BusError("BUS_CLOSED", "the subscription ends");
