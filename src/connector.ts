import type { Core } from "./core.ts";
import type { ConnectContext, Driver, DriverConnection, Member } from "./driver.ts";
import { BusError } from "./errors.ts";
import { errorFields } from "./status-board.ts";
import { reasonOf, redact, wrapError } from "./wrap-error.ts";

/** One connection: opened once however many ask, tried again while the reason may pass, closed once. */
export class Connector {
  readonly driver: Driver;
  /** Called each time the driver says that a connection that was lost is there again. */
  readonly whenBack: Set<() => void> = new Set();
  readonly #core: Core;
  readonly #member: Member;
  readonly #prepare: (connection: DriverConnection) => Promise<void>;
  readonly #changed: () => void;
  #state: "new" | "connecting" | "connected" | "reconnecting" | "closed" = "new";
  #connection: DriverConnection | undefined;
  #connecting: Promise<DriverConnection> | undefined;
  readonly #abort = new AbortController();
  #lastFailure: BusError | undefined;

  /** `prepare` runs before a new connection counts: streams, the routing table. */
  constructor(
    core: Core,
    driver: Driver,
    member: Member,
    prepare: (connection: DriverConnection) => Promise<void>,
    changed: () => void,
  ) {
    this.#core = core;
    this.driver = driver;
    this.#member = member;
    this.#prepare = prepare;
    this.#changed = changed;
  }

  get state(): "new" | "connecting" | "connected" | "reconnecting" | "closed" {
    return this.#state;
  }
  get active(): DriverConnection | undefined {
    return this.#connection;
  }
  get lastFailure(): BusError | undefined {
    return this.#lastFailure;
  }

  /** Tries until it is connected, `reconnect.maxAttempts` is used up, the reason won't pass, or it is closed. */
  ready(): Promise<DriverConnection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection);
    if (this.#state === "closed") return Promise.reject(closed());
    this.#state = "connecting";
    return (this.#connecting ??= this.#tryUntilConnected().finally(() => (this.#connecting = undefined)));
  }

  /** Ends a try that is under way; a connection that is open is closed, gracefully until the signal aborts. */
  async close(signal: AbortSignal): Promise<void> {
    this.#state = "closed";
    this.#abort.abort(closed());
    const connection = this.#connection;
    this.#connection = undefined;
    await Promise.allSettled([this.#connecting]);
    await connection?.close(signal);
  }

  async #tryUntilConnected(): Promise<DriverConnection> {
    const { maxAttempts, minMs, maxMs } = this.#core.options.reconnect;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#try();
      } catch (error) {
        const failure = wrapError(this.driver, "connecting", error);
        this.#lastFailure = failure;
        this.#core.counters.lastErrorAt = this.#core.clock.now();
        this.#core.board.log("warn", "not connected", { driver: this.driver.name, attempt, ...errorFields(failure) });
        if (this.#abort.signal.aborted) throw closed();
        if (!failure.retryable || attempt >= maxAttempts) {
          this.#state = "new";
          throw failure;
        }
        this.#core.board.say({ type: "reconnecting", driver: this.driver.name, error: failure });
        await this.#pause(
          Math.min(minMs * 2 ** Math.min(attempt - 1, 30), maxMs) * (0.5 + this.#core.clock.random() / 2),
        );
      }
    }
  }

  async #try(): Promise<DriverConnection> {
    const connection = await this.driver.connect(this.#context());
    try {
      if (!this.#abort.signal.aborted) await this.#prepare(connection);
      if (this.#abort.signal.aborted) throw closed();
    } catch (error) {
      await connection.close(AbortSignal.abort()); // a failed connect leaves nothing open
      throw error;
    }
    this.#connection = connection;
    this.#state = "connected";
    this.#core.counters.connectedAt = this.#core.clock.now();
    this.#core.board.say({ type: "connected", driver: this.driver.name });
    this.#core.board.log("info", "connected", { driver: this.driver.name });
    return connection;
  }

  #context(): ConnectContext {
    const { options, clock, board, counters } = this.#core;
    return {
      name: options.name,
      prefix: options.prefix,
      member: this.#member,
      manage: options.manage,
      clock,
      signal: this.#abort.signal,
      changed: this.#changed,
      warn: (message, fields) => board.log("warn", redact(message), { ...fields, driver: this.driver.name }),
      status: ({ type, error }) => {
        if (this.#state === "closed") return;
        if (type === "blocked" || type === "unblocked")
          return board.say({ type, reason: error === undefined ? type : redact(reasonOf(error)) });
        if (type === "disconnected") this.#state = "reconnecting";
        else if (this.#connection !== undefined) this.#state = "connected";
        if (type === "connected" && this.#connection !== undefined) {
          counters.reconnects += 1;
          counters.connectedAt = this.#core.clock.now();
        }
        const wrapped = error === undefined ? undefined : wrapError(this.driver, type, error);
        board.say({ type, driver: this.driver.name, ...(wrapped === undefined ? {} : { error: wrapped }) });
        board.log(type === "disconnected" ? "warn" : "info", type, {
          driver: this.driver.name,
          ...(wrapped === undefined ? {} : errorFields(wrapped)),
        });
        if (type === "connected") for (const back of [...this.whenBack]) back();
      },
    };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#abort.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#core.wheel.set(ms, done);
      this.#abort.signal.addEventListener("abort", done, { once: true });
    });
  }
}

export const closed = (): BusError => new BusError("BUS_CLOSED", "the bus is closed");
