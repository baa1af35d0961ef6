import type { Core } from "./core.ts";
import type { Consumption, Driver, DriverConnection, GroupSpec, InMessage, Sink, Source, Window } from "./driver.ts";
import type { BusError } from "./errors.ts";
import { BusError as Failure } from "./errors.ts";
import { errorFields } from "./status-board.ts";
import { wrapError } from "./wrap-error.ts";

/** How the parts that consume reach the broker. */
export interface Broker {
  readonly driver: Driver;
  readonly active: DriverConnection | undefined;
  ready(): Promise<DriverConnection>;
  /** Called each time the driver says that a connection that was lost is there again. */
  readonly whenBack: Set<() => void>;
}

/** What one consumption is for; all of it is called for the newest opening only. */
export interface Consumer {
  /** In messages and logs: `group "shipping"`. */
  readonly what: string;
  /** Of a tail. */
  readonly stream?: string | undefined;
  source(resume: ReadonlyMap<string, string> | undefined): Source;
  /** Before each opening: the group's definition, which may be gone. */
  prepare(connection: DriverConnection): Promise<unknown>;
  window(): Window;
  deliver(messages: readonly InMessage[]): void;
  /** `all`: ownership of everything ended. */
  revoked(which: readonly InMessage[] | { readonly partition: string } | "all"): void;
  spec?(spec: GroupSpec): void;
  /** It is open, for the first time or again; it runs once what this returns has resolved. */
  opened(consumption: Consumption): unknown;
}

/** Keeps one consumption open: opens it again after it ended, for ever or as often as `reconnect` says, where it was. */
export class Supervisor {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #consumer: Consumer;
  readonly #floors = new Map<string, string>();
  #generation = 0;
  #consumption: Consumption | undefined;
  #state: "closed" | "opening" | "running" | "recovering" = "closed";
  #failure: BusError | undefined;
  #opening: Promise<void> = Promise.resolve();
  /** Until the next try to open it again; undefined while one is under way. */
  #retry: { cancel(): void } | undefined;
  #tryAgain: () => void = () => undefined;
  /** How often the wait has been doubled, and one. */
  #step = 1;
  readonly #waiting: { readonly resolve: () => void; readonly reject: (error: BusError) => void }[] = [];

  constructor(core: Core, broker: Broker, consumer: Consumer) {
    this.#core = core;
    this.#broker = broker;
    this.#consumer = consumer;
  }

  get consumption(): Consumption | undefined {
    return this.#consumption;
  }
  get state(): "closed" | "opening" | "running" | "recovering" {
    return this.#state;
  }
  /** Why it does not run. */
  get failure(): BusError | undefined {
    return this.#failure;
  }

  /** Unless it is open, or comes back by itself. Rejects when it could not be opened; only an open one is opened again. */
  open(): Promise<void> {
    if (this.#state === "closed") this.#opening = this.#open();
    return this.#opening;
  }

  async #open(): Promise<void> {
    this.#state = "opening";
    const starting = this.#start(this.#failure === undefined ? undefined : this.#floors); // it was given up
    const generation = this.#generation;
    try {
      await starting;
    } catch (error) {
      if (generation === this.#generation) this.#state = "closed";
      throw wrapError(this.#broker.driver, `opening ${this.#consumer.what}`, error);
    }
  }

  /** Resolves when it runs (again); rejects when it was given up or closed. */
  running(): Promise<void> {
    if (this.#state === "running") return Promise.resolve();
    if (this.#state === "closed")
      return Promise.reject(this.#failure ?? new Failure("BUS_CLOSED", `${this.#consumer.what} is closed`));
    return new Promise((resolve, reject) => void this.#waiting.push({ resolve, reject }));
  }

  /** Nothing more is to be delivered. What the broker can't be told now, the consumption's end tells it. */
  async stop(): Promise<void> {
    try {
      await this.#consumption?.stop();
    } catch (error) {
      this.untold("stopping", error);
    }
  }

  /** Hands back what is unsettled. What is delivered afterwards is ignored, whether or not it rejects. */
  async close(signal: AbortSignal): Promise<void> {
    const consumption = this.#consumption;
    this.#generation += 1;
    this.#consumption = undefined;
    this.#state = "closed";
    this.#failure = undefined;
    this.#retry?.cancel();
    this.#broker.whenBack.delete(this.#hurry);
    this.#tell(new Failure("BUS_CLOSED", `${this.#consumer.what} is closed`));
    try {
      await consumption?.close(signal);
    } catch (error) {
      throw wrapError(this.#broker.driver, `closing ${this.#consumer.what}`, error);
    }
  }

  /** What goes on all the same: who can't be told finds out. */
  untold(doing: string, error: unknown): void {
    const failure = wrapError(this.#broker.driver, `${doing} ${this.#consumer.what}`, error);
    this.#core.board.log("warn", "the broker could not be told", { of: this.#consumer.what, ...errorFields(failure) });
  }

  async #start(resume: ReadonlyMap<string, string> | undefined): Promise<void> {
    const generation = ++this.#generation;
    const connection = await this.#broker.ready();
    await this.#consumer.prepare(connection);
    if (generation !== this.#generation) return;
    const sink = new GenerationSink(this, generation);
    const consumption = await connection.consume(this.#consumer.source(resume), sink, this.#consumer.window());
    if (generation !== this.#generation) return consumption.close(AbortSignal.abort());
    this.#consumption = consumption;
    const opened = this.#consumer.opened(consumption);
    sink.open();
    try {
      await opened;
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#consumption = undefined;
      consumption.close(AbortSignal.abort()).catch((failure: unknown) => this.untold("closing", failure));
      throw error;
    }
    if (generation !== this.#generation) return;
    this.#state = "running";
    this.#broker.whenBack.delete(this.#hurry);
    this.#failure = undefined;
    this.#tell(undefined);
  }

  #tell(failure: BusError | undefined): void {
    for (const { resolve, reject } of this.#waiting.splice(0))
      if (failure === undefined) resolve();
      else reject(failure);
  }

  /** @internal by its sinks */
  is(generation: number): boolean {
    return generation === this.#generation;
  }
  deliver(messages: readonly InMessage[]): void {
    this.#core.counters.lastDeliveryAt = this.#core.clock.now();
    this.#consumer.deliver(messages);
  }
  revoked(which: readonly InMessage[] | { readonly partition: string }): void {
    this.#core.counters.rebalances += 1;
    this.#consumer.revoked(which);
  }
  floor(partition: string, position: string): void {
    this.#floors.set(partition, position);
  }
  spec(spec: GroupSpec): void {
    this.#consumer.spec?.(spec);
  }
  lost(count: number | undefined, reason: string): void {
    this.#core.board.say({
      type: "messages-lost",
      stream: this.#consumer.stream ?? this.#consumer.what,
      count,
      reason,
    });
    this.#core.board.log("error", "messages lost", { of: this.#consumer.what, count, reason });
  }
  ended(error: unknown, kept: boolean): void {
    this.#consumption = undefined;
    this.#state = "recovering";
    this.#failure = wrapError(this.#broker.driver, `${this.#consumer.what} ended`, error);
    this.#core.counters.lastErrorAt = this.#core.clock.now();
    this.#core.board.say({ type: "reconnecting", driver: this.#broker.driver.name, error: this.#failure });
    this.#core.board.log("warn", "subscription ended, opening it again", {
      of: this.#consumer.what,
      ...errorFields(this.#failure),
    });
    if (!kept) this.#consumer.revoked("all");
    this.#step = 1;
    this.#again(1, ++this.#generation);
  }

  #again(attempt: number, generation: number): void {
    const { maxAttempts } = this.#core.options.reconnect;
    if (attempt > maxAttempts) {
      this.#state = "closed";
      this.#broker.whenBack.delete(this.#hurry);
      const error = new Failure(
        "BUS_CONNECTION",
        `${this.#consumer.what} could not be opened again in ${maxAttempts} tries`,
        { cause: this.#failure },
      );
      this.#failure = error;
      this.#tell(error);
      this.#core.board.say({ type: "error", driver: this.#broker.driver.name, error });
      this.#core.board.log("error", "subscription given up", { of: this.#consumer.what, ...errorFields(error) });
      return;
    }
    this.#tryAgain = () => this.#try(attempt, generation);
    this.#broker.whenBack.add(this.#hurry);
    this.#wait();
  }

  #wait(): void {
    const { minMs, maxMs } = this.#core.options.reconnect;
    const delayMs = Math.min(minMs * 2 ** Math.min(this.#step - 1, 30), maxMs) * (0.5 + this.#core.clock.random() / 2);
    this.#retry = this.#core.wheel.set(delayMs, this.#tryAgain);
  }

  /** There is a line again: what waited long because there was none is not to wait that long any more. */
  readonly #hurry = (): void => {
    if (this.#retry === undefined) this.#step = 0; // a try is under way, and may have begun without one
    else if (this.#step > 1) {
      this.#step = 1;
      this.#retry.cancel();
      this.#wait();
    }
  };

  #try(attempt: number, generation: number): void {
    this.#retry = undefined;
    if (generation !== this.#generation) return;
    const starting = this.#start(this.#floors);
    const own = this.#generation;
    starting.then(
      () => {
        if (own !== this.#generation) return;
        this.#core.counters.reconnects += 1;
        this.#core.board.say({ type: "connected", driver: this.#broker.driver.name });
        this.#core.board.log("info", "subscription runs again", { of: this.#consumer.what, attempt });
      },
      (error: unknown) => {
        if (own !== this.#generation) return;
        this.#failure = wrapError(this.#broker.driver, `opening ${this.#consumer.what} again`, error);
        this.#step += 1;
        this.#again(attempt + 1, own);
      },
    );
  }
}

/** Of one opening: what an earlier one still says is ignored, what comes before `consume` resolved waits. */
class GenerationSink implements Sink {
  readonly #supervisor: Supervisor;
  readonly #generation: number;
  #early: (() => void)[] | undefined = [];

  constructor(supervisor: Supervisor, generation: number) {
    this.#supervisor = supervisor;
    this.#generation = generation;
  }

  open(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const each of early) each();
  }

  deliver(messages: readonly InMessage[]): void {
    if (this.#early !== undefined) this.#early.push(() => this.deliver(messages));
    else if (this.#supervisor.is(this.#generation)) this.#supervisor.deliver(messages);
  }
  revoked(which: readonly InMessage[] | { readonly partition: string }): void {
    if (this.#early !== undefined) this.#early.push(() => this.revoked(which));
    else if (this.#supervisor.is(this.#generation)) this.#supervisor.revoked(which);
  }
  floor(partition: string, position: string): void {
    if (this.#supervisor.is(this.#generation)) this.#supervisor.floor(partition, position);
  }
  spec(spec: GroupSpec): void {
    if (this.#supervisor.is(this.#generation)) this.#supervisor.spec(spec);
  }
  lost(count: number | undefined, reason: string): void {
    if (this.#supervisor.is(this.#generation)) this.#supervisor.lost(count, reason);
  }
  ended(error: unknown, kept: boolean): void {
    if (this.#early !== undefined) this.#early.push(() => this.ended(error, kept));
    else if (this.#supervisor.is(this.#generation)) this.#supervisor.ended(error, kept);
  }
}
