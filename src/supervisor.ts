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
  /** It runs: for the first time, or again. */
  opened(consumption: Consumption): void;
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

  /** Rejects when it could not be opened; only an open one is opened again. */
  async open(): Promise<void> {
    this.#state = "opening";
    try {
      await this.#start(undefined);
    } catch (error) {
      this.#state = "closed";
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

  /** Hands back what is unsettled. What is delivered afterwards is ignored. */
  async close(signal: AbortSignal): Promise<void> {
    const consumption = this.#consumption;
    this.#generation += 1;
    this.#consumption = undefined;
    this.#state = "closed";
    this.#tell(new Failure("BUS_CLOSED", `${this.#consumer.what} is closed`));
    await consumption?.close(signal);
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
    this.#state = "running";
    this.#failure = undefined;
    this.#consumer.opened(consumption);
    sink.open();
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
    this.#again(1, ++this.#generation);
  }

  #again(attempt: number, generation: number): void {
    const { maxAttempts, minMs, maxMs } = this.#core.options.reconnect;
    if (attempt > maxAttempts) {
      this.#state = "closed";
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
    const delayMs = Math.min(minMs * 2 ** Math.min(attempt - 1, 30), maxMs) * (0.5 + this.#core.clock.random() / 2);
    this.#core.wheel.set(delayMs, () => {
      if (generation !== this.#generation) return;
      this.#start(this.#floors).then(
        () => {
          if (this.#state !== "running") return;
          this.#core.counters.reconnects += 1;
          this.#core.board.say({ type: "connected", driver: this.#broker.driver.name });
          this.#core.board.log("info", "subscription runs again", { of: this.#consumer.what, attempt });
        },
        (error: unknown) => {
          if (this.#state === "closed") return;
          this.#failure = wrapError(this.#broker.driver, `opening ${this.#consumer.what} again`, error);
          this.#again(attempt + 1, this.#generation);
        },
      );
    });
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
