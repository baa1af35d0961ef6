import { checkGroup } from "./check-group.ts";
import type { Core } from "./core.ts";
import { aborted } from "./deadline.ts";
import type { Consumption, DriverConnection, Headers, InMessage, Source, StartAt, Window } from "./driver.ts";
import { BusError } from "./errors.ts";
import type { BaseRunner } from "./handler-runner.ts";
import { decideHandOn } from "./hand-on.ts";
import type { SubscribeOptions } from "./handler.ts";
import type { Receiver } from "./fan-out.ts";
import { Intake } from "./intake.ts";
import { KeyHalts } from "./key-halts.ts";
import { letterOf } from "./letter.ts";
import { copyHeaders, historyHeaders, noteOf, readHistory, readNames } from "./message-history.ts";
import type { Outcomes } from "./outcomes.ts";
import { ParkedDrain } from "./parked-drain.ts";
import { reportDead, reportFailed, reportHandled, reportRetried, reportUnhandled } from "./report.ts";
import type { Routing } from "./routing.ts";
import { RunAhead } from "./run-ahead.ts";
import { Settler } from "./settler.ts";
import { Supervisor, type Broker, type Consumer } from "./supervisor.ts";
import { header } from "./wire-names.ts";
import { Work, type Runner } from "./work.ts";

const windowBytes = 64 * 1_048_576;
const letterRetryMs = 1_000;

export interface MemberOptions {
  readonly group: string;
  readonly live: boolean;
  readonly order: SubscribeOptions["order"];
  readonly from: SubscribeOptions["from"];
  readonly runAhead: number;
  /** What is given up halts its key. */
  readonly halts: boolean;
}

/** This process in a group: one consumption, one intake, all the handlers that it has of the group. */
export class GroupMember implements Consumer, Outcomes, Receiver {
  readonly what: string;
  readonly answers = false;
  readonly options: MemberOptions;
  readonly runners: Set<BaseRunner> = new Set();
  readonly supervisor: Supervisor;
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #routing: Routing;
  readonly #settler: Settler;
  readonly #runAhead: RunAhead<Work>;
  readonly #halts: KeyHalts;
  /** Others may halt keys of it, and what waits for these is out of reach. */
  #lacksStore = false;
  #drain: ParkedDrain | undefined;
  #intake: Intake | undefined;
  #order: SubscribeOptions["order"];
  #ordered = false;
  #window: Window = { messages: 0, bytes: 0 };
  #closing = false;

  constructor(core: Core, broker: Broker, routing: Routing, options: MemberOptions) {
    this.#core = core;
    this.#broker = broker;
    this.#routing = routing;
    this.options = options;
    this.what = `group "${options.group}"`;
    this.#settler = new Settler(core);
    this.#runAhead = new RunAhead(options.runAhead);
    this.#halts = new KeyHalts(core, broker, this.#haltHost());
    this.supervisor = new Supervisor(core, broker, this);
  }

  get patterns(): readonly string[] {
    return [...new Set([...this.runners].flatMap((runner) => runner.patterns))];
  }
  /** As the broker has it; undefined before it was opened. */
  get order(): SubscribeOptions["order"] {
    return this.#order;
  }
  get intake(): Intake | undefined {
    return this.#intake;
  }

  /** Opens it, with the handlers that were added so far. */
  open(): Promise<void> {
    return this.supervisor.open();
  }

  /** Before the group's definition asks for its patterns, and before it is opened: the first delivery may be for it. */
  add(runner: BaseRunner): void {
    this.runners.add(runner);
    runner.resized = () => {
      this.#intake?.resized();
      this.#drain?.resized();
      this.load();
    };
    this.#intake?.add(runner);
    this.#drain?.add(runner);
    this.load();
  }

  remove(runner: BaseRunner): void {
    this.runners.delete(runner);
    this.#intake?.remove(runner);
    this.#drain?.remove(runner);
    this.load();
  }

  /** At-most-once events: they come by the direct lane. */
  take(message: InMessage): void {
    if (this.#intake !== undefined && !this.#closing) this.#take(message);
  }

  taken(): void {
    this.#intake?.pump();
  }

  /** Nothing is delivered any more, nothing starts; resolves when no handler runs. */
  async stop(): Promise<void> {
    this.#closing = true;
    await Promise.all([this.supervisor.stop(), this.#intake?.stop(), this.#drain?.stop()]);
    await this.#halts.stop();
  }

  /** Resolves when what was settled so far is at the broker. */
  flush(): Promise<void> {
    return this.#settler.flush();
  }

  /** Aborts what still runs; how many handlers that cut off. */
  cutOff(reason: unknown): number {
    let running = 0;
    for (const runner of this.runners) {
      running += runner.running;
      runner.abortAll(reason);
    }
    return running;
  }

  /** After `stop`, or by force. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closing = true;
    await Promise.race([this.#settler.flush().catch(() => undefined), aborted(signal)]); // what could not be settled comes again
    this.#settler.use(undefined);
    await this.supervisor.close(signal);
  }

  // ── what the supervisor asks

  async prepare(connection: DriverConnection): Promise<void> {
    const { group, live, order, from } = this.options;
    const able = connection.capabilities;
    const timeoutMs = Math.max(0, ...[...this.runners].map((runner) => runner.timeoutMs));
    checkGroup({ ...this.options, timeoutMs }, this.#broker.driver.name, able);
    const spec = await connection.ensureGroup({
      group,
      live,
      order,
      from: startAt(from ?? (able.replay ? "oldest" : "newest")),
      reads: this.#routing.reads(this.patterns),
    });
    if (this.#intake !== undefined) return;
    const mayHalt = spec.order === "group" && !live;
    this.#lacksStore = mayHalt && connection.state === undefined;
    if (mayHalt && connection.state !== undefined) this.#makeDrain();
    this.#order = spec.order;
    this.#ordered = spec.order !== "none";
    // what is in this process alone goes nowhere while it stands still
    this.#intake = new Intake(this.#core, this, this.#ordered, able.durable ? this.#core.standstill : undefined);
    for (const runner of this.runners) this.#intake.add(runner);
  }

  source(resume: ReadonlyMap<string, string> | undefined): Source {
    return { kind: "group", group: this.options.group, resume };
  }

  window(): Window {
    let messages = 0;
    for (const runner of this.runners) messages += runner.prefetch;
    if (messages > 0)
      messages += (this.#intake?.parked ?? 0) + (this.#ordered ? this.#runAhead.held + this.#halts.held : 0);
    return (this.#window = { messages, bytes: messages === 0 ? 0 : windowBytes });
  }

  opened(consumption: Consumption): void {
    this.#settler.use(consumption);
    consumption.window(this.window()); // it may have changed while it was opened
    this.#halts.watch();
  }

  deliver(messages: readonly InMessage[]): void {
    if (this.#closing) return; // opened while it was being closed: the consumption's close hands them back, nothing of them has started
    for (const message of messages) this.#take(message);
    this.#intake!.pump();
    if (this.#ordered || this.#intake!.stalled > 0) this.load();
  }

  revoked(which: readonly InMessage[] | { readonly partition: string } | "all"): void {
    const lost = new BusError("BUS_LEASE_LOST", `${this.what}: the message belongs to another member now`);
    if (which === "all") {
      this.#settler.use(undefined);
      this.#runAhead.forget();
      this.#halts.forget();
      this.#intake?.revoke((work) => !isDirect(work), lost);
      this.#drain?.revoke(lost);
      return;
    }
    if ("partition" in which) {
      this.#halts.forget(which.partition);
      for (const partition of this.#runAhead.forget(which.partition)) this.#openPartition(partition);
      this.#intake?.revoke((work) => work.message.partition === which.partition, lost);
      this.#drain?.revoke(lost);
      return;
    }
    const set = new Set(which);
    this.#runAhead.drop((work) => set.has(work.message));
    this.#intake?.revoke((work) => set.has(work.message), lost);
    this.#drain?.revoke(lost);
  }

  // ── what becomes of a work

  takes(work: Work): boolean {
    if (this.#drain !== undefined) return this.#halts.takes(work);
    if (!this.#lacksStore || work.local) return false;
    const { message } = work;
    const isReplay = message.lane === "queue" && message.header(header.halts) !== undefined;
    if (!isReplay && message.note(header.givenUp) === undefined) return false;
    // what waits for it is out of reach here: as a letter it goes on halting its key
    readHistory(work);
    if (isReplay) work.givenUp ??= readNames(noteOf(message, header.handlersOnly));
    this.#bury(
      work,
      new BusError("BUS_UNSUPPORTED", "what waits for it is in a state store that this bus does not have"),
      true,
    );
    return true;
  }

  handled(work: Work): void {
    reportHandled(this.#core, work);
    if (work.halt === "ends") return this.#halts.handled(work);
    if (!isDirect(work)) this.#settler.ack(work.message);
    this.#intake!.leave(work);
  }

  again(work: Work, attempts: number, delayMs: number): void {
    reportRetried(this.#core, work, this.options.group, delayMs);
    if (work.local) {
      work.attempts = attempts;
      this.#intake!.park(work, delayMs);
    } else if (this.#ordered) this.#keepInPlace(work, attempts, delayMs, historyHeaders(work));
    else this.#giveBack(work, "retry", delayMs, attempts, copyHeaders(work));
  }

  unhandled(work: Work, why: string, handOnMs: number): void {
    const { message } = work;
    const error = new BusError("BUS_NO_HANDLER", `${this.what}: ${why}`);
    const hops = noteOf(message, header.hops);
    if (hops === undefined) reportUnhandled(this.#core, work, this.options.group, error);
    if (work.local) {
      if (!isDirect(work)) this.#settler.ack(message);
      return this.#intake!.leave(work);
    }
    const decision = decideHandOn(hops, noteOf(message, header.handedOnSince), this.#core.clock.now(), handOnMs);
    if (decision.kind === "dead") return this.dead(work, error);
    const headers: Headers = [
      ...(this.#ordered ? historyHeaders(work) : copyHeaders(work)),
      [header.hops, String(decision.hops)],
      [header.handedOnSince, String(decision.since)],
    ];
    if (this.#ordered) this.#keepInPlace(work, work.attempts, decision.delayMs, headers);
    else this.#giveBack(work, "release", decision.delayMs, work.attempts, headers);
  }

  back(work: Work): void {
    if (this.#closing || (work.local && isDirect(work))) this.#intake!.leave(work); // the consumption's close hands it back
    else if (this.#ordered || work.local) this.#intake!.park(work, 0);
    else this.#giveBack(work, "release", 0, work.attempts, copyHeaders(work));
  }

  dead(work: Work, error: unknown): void {
    if (work.local) {
      reportDead(this.#core, work, this.options.group, error);
      if (!isDirect(work)) this.#settler.ack(work.message);
      return this.#intake!.leave(work);
    }
    if (work.key !== undefined && (this.options.halts || work.halt === "ends")) this.#halts.halt(work, error);
    else this.#bury(work, error, false);
  }

  #bury(work: Work, error: unknown, halts: boolean): void {
    const letter = letterOf(work, this.options.group, error, this.#core.clock.now(), halts);
    this.#settler.settle({ how: "dead", message: work.message, letter }, (result) => {
      if (result === "done") {
        reportDead(this.#core, work, this.options.group, error);
        this.#intake!.leave(work);
      } else if (result === "stale" || work.revoked) this.#lose(work);
      else
        this.#core.wheel.set(letterRetryMs, () =>
          work.revoked || this.#closing ? this.#lose(work) : this.#bury(work, error, halts),
        ); // the message stays until its letter is stored
    });
  }

  dropped(work: Work, error: unknown): void {
    this.#core.board.say({
      type: "unhandled",
      event: undefined,
      group: this.options.group,
      attempt: work.attempts + 1,
      error,
    });
    this.#core.board.log("warn", "dropped after its last attempt", {
      event: work.envelope?.id,
      group: this.options.group,
    });
  }

  failed(work: Work, runner: Runner, error: unknown): void {
    reportFailed(this.#core, work, this.options.group, runner, error);
  }

  note(work: Work, attempts: number): Promise<"done" | "stale" | "unknown"> {
    return this.#note(work, attempts, []);
  }

  load(): void {
    const before = this.#window;
    const { messages, bytes } = this.window();
    if (messages !== before.messages || bytes !== before.bytes) this.supervisor.consumption?.window(this.#window);
  }

  gone(work: Work): void {
    const change = this.#runAhead.settled(work);
    if (change === undefined) return;
    if (change.resume !== undefined) this.#openPartition(change.resume);
    if (this.#closing) return;
    for (const each of change.go) this.#intake!.take(each);
    this.load();
  }

  /** The bound of the whole window goes on for it; only what was paused for running ahead is lifted. */
  #openPartition(partition: string): void {
    this.supervisor.consumption?.window({ messages: Number.MAX_SAFE_INTEGER, bytes: windowBytes }, partition);
  }

  #take(message: InMessage): void {
    this.#core.counters.delivered += 1;
    const direct = message.lane === "direct";
    const intake = this.#intake!;
    const work = new Work(message, intake, this.#ordered ? message.key : undefined, direct || this.options.live);
    if (message.deliveries > 1 && !work.local) work.suspect = !this.#holds(message);
    const { partition } = message;
    if (partition !== undefined && !direct) {
      const may = this.#runAhead.delivered(partition, work);
      if (may === "pause") this.supervisor.consumption?.window({ messages: 0, bytes: 0 }, partition);
      if (may !== "go") return this.load();
    }
    intake.take(work);
  }

  /** Delivered again although it never left this process: it did not kill it. */
  #holds(message: InMessage): boolean {
    for (const work of this.#intake!.works) {
      if (
        work.message !== message &&
        work.message.position === message.position &&
        work.message.partition === message.partition
      )
        return true;
    }
    return false;
  }

  #keepInPlace(work: Work, attempts: number, delayMs: number, headers: Headers): void {
    const notBefore = this.#core.clock.now() + delayMs;
    this.#settler.record({ message: work.message, attempts, notBefore, headers }, (result) => {
      if (result === "stale" || work.revoked) return this.#lose(work);
      work.attempts = attempts;
      this.#intake!.park(work, delayMs);
    });
  }

  #giveBack(work: Work, how: "retry" | "release", delayMs: number, attempts: number, headers: Headers): void {
    const { message } = work;
    this.#settler.settle(
      how === "retry" ? { how, message, delayMs, attempts, headers } : { how, message, delayMs, headers },
      (result) => {
        if (result !== "unknown" || work.revoked)
          return result === "done" ? this.#intake!.leave(work) : this.#lose(work);
        work.attempts = attempts; // not given back: it is retried here, where it still is
        this.#intake!.park(work, Math.max(delayMs, letterRetryMs));
      },
    );
  }

  #lose(work: Work): void {
    work.revoked = true;
    this.#intake!.leave(work);
  }

  #haltHost(): ConstructorParameters<typeof KeyHalts>[2] {
    const closing = (): boolean => this.#closing;
    return {
      ...{ group: this.options.group, halts: this.options.halts },
      get closing() {
        return closing();
      },
      load: () => this.load(),
      resume: (work) => this.#intake!.resume(work),
      ack: (work) => this.#ack(work),
      lose: (work) => this.#lose(work),
      note: (work, attempts, headers) => this.#note(work, attempts, headers),
      bury: (work, error, halts) => this.#bury(work, error, halts),
      drain: (work, store) => this.#drain!.drain(work, store),
    };
  }

  #makeDrain(): void {
    const closing = (): boolean => this.#closing;
    this.#drain = new ParkedDrain(this.#core, {
      group: this.options.group,
      get closing() {
        return closing();
      },
      ack: (work) => this.#ack(work),
      lose: (work) => this.#lose(work),
      waits: (replay, notBefore) => this.#note(replay, replay.attempts, [[header.drains, "1"]], notBefore),
      settle: (message, letter) =>
        new Promise((resolve) => this.#settler.settle({ how: "dead", message, letter }, resolve)),
      dropped: (work, error) => this.dropped(work, error),
      mark: (key) => this.#halts.mark(key),
      free: (key, mark) => this.#halts.free(key, mark),
    });
    for (const runner of this.runners) this.#drain.add(runner);
  }

  #ack(work: Work): void {
    this.#settler.ack(work.message);
    this.#intake!.leave(work);
  }

  #note(work: Work, attempts: number, headers: Headers, notBefore?: number): Promise<"done" | "stale" | "unknown"> {
    return new Promise((resolve) => {
      const note = { message: work.message, attempts, notBefore };
      this.#settler.record({ ...note, headers: [...historyHeaders(work), ...headers] }, resolve);
    });
  }
}

const isDirect = (work: Work): boolean => work.message.lane === "direct";

export function startAt(from: SubscribeOptions["from"]): StartAt {
  if (from === undefined || from === "oldest") return { at: "oldest" };
  if (from === "newest") return { at: "newest" };
  return from instanceof Date ? { time: from.getTime() } : { positions: from.positions };
}
