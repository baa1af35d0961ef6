import { ambient, causedBy, forNobody } from "./context.ts";
import type { Core } from "./core.ts";
import { Counters } from "./counters.ts";
import type { Envelope } from "./envelope.ts";
import { BusError } from "./errors.ts";
import type { BusEvent, EventDefinition, PublishOptions } from "./event.ts";
import { HandlerDelivery, type DeliveryRun } from "./handler-delivery.ts";
import type { Handler } from "./handler.ts";
import { Bag, type Bagged } from "./internal/bag.ts";
import { Fifo } from "./internal/fifo.ts";
import type { ResolvedRetry, ResolvedSubscribe } from "./normalise.ts";
import { invalidOption } from "./option-check.ts";
import type { Receipt } from "./receipt.ts";
import { view } from "./receiving.ts";
import { WheelTimer, type TimerWheel } from "./timer-wheel.ts";
import { handBack, type RunEnd, type Runner, type Work } from "./work.ts";

/** Which events a handler takes: of these definitions, or everything on a pattern. */
export interface Interest {
  readonly patterns: readonly string[];
  /** By type; undefined: any type. */
  readonly definitions: ReadonlyMap<string, EventDefinition> | undefined;
}
export type PublishCaused = (
  cause: BusEvent,
  event: EventDefinition,
  data: unknown,
  options: PublishOptions | undefined,
) => Promise<Receipt>;

/** What is common to the ways of running a subscription's handler: what it takes, its room, its pause. */
export abstract class BaseRunner implements Runner {
  readonly name: string;
  readonly patterns: readonly string[];
  readonly retry: ResolvedRetry;
  readonly handOnMs: number;
  readonly timeoutMs: number;
  readonly counters: Counters = new Counters();
  protected readonly core: Core;
  protected readonly options: ResolvedSubscribe;
  readonly #interest: Interest;
  #paused = false;
  /** Called when `capacity` changed. */
  resized: () => void = () => undefined;
  readonly #quiet: (() => void)[] = [];
  /** Since when (ticks) each run past twice its limit has been going on. */
  readonly hung: Set<object> = new Set();

  constructor(core: Core, name: string, interest: Interest, options: ResolvedSubscribe) {
    this.core = core;
    this.name = name;
    this.patterns = interest.patterns;
    this.retry = options.retry;
    this.handOnMs = options.handOnMs;
    this.timeoutMs = options.timeoutMs;
    this.options = options;
    this.#interest = interest;
  }

  abstract readonly capacity: number;
  /** What it wants delivered and unsettled at most; 0 while it is paused. */
  abstract readonly prefetch: number;
  abstract readonly stalled: number;
  /** Whether it wants no other handler beside it in its group. */
  readonly exclusive: boolean = false;
  /** Handlers running now. */
  abstract readonly running: number;
  abstract start(work: Work, event: BusEvent): void;
  abstract abort(work: Work, reason: unknown): void;
  /** Aborts every run, and gives back what waits. */
  abstract abortAll(reason: unknown): void;
  /** Gives back what waits for room. */
  abstract giveBack(): void;
  protected abstract pump(): void;
  protected readonly again = (): void => this.pump();

  accepts(envelope: Envelope): "yes" | "no" | "newer" {
    const { definitions } = this.#interest;
    if (definitions === undefined) return "yes";
    const definition = definitions.get(envelope.type);
    if (definition === undefined) return "no";
    return envelope.version > definition.version ? "newer" : "yes";
  }

  view(envelope: Envelope): BusEvent | Promise<BusEvent> {
    const { registry, unknownTypes } = this.core.options;
    const definition =
      this.#interest.definitions === undefined
        ? registry.latest(envelope.type)
        : this.#interest.definitions.get(envelope.type);
    if (definition === undefined && unknownTypes === "dead-letter")
      throw new BusError("BUS_INVALID_DATA", `the type "${envelope.type}" is in no definition of this bus`);
    return view(
      this.core,
      definition !== undefined && definition.version < envelope.version ? undefined : definition,
      envelope,
    );
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.pump();
    this.resized();
  }

  /** Resolves when no handler runs. */
  quiet(): Promise<void> {
    return this.running === 0 ? Promise.resolve() : new Promise((resolve) => void this.#quiet.push(resolve));
  }

  protected checkQuiet(): void {
    if (this.running === 0 && this.#quiet.length > 0) for (const resolve of this.#quiet.splice(0)) resolve();
  }
}

/** Runs a handler for one event at a time, `concurrency` of them at once. */
export class HandlerRunner extends BaseRunner implements RunHost {
  readonly #handle: (event: BusEvent, delivery: HandlerDelivery) => unknown;
  readonly #canHandle: ((event: BusEvent) => boolean) | undefined;
  readonly publish: PublishCaused;
  readonly #waiting = new Fifo<{ readonly work: Work; readonly event: BusEvent }>();
  readonly #runs = new Bag<Run>();
  #running = 0;

  constructor(
    core: Core,
    name: string,
    interest: Interest,
    options: ResolvedSubscribe,
    handler: Handler<BusEvent>,
    publish: PublishCaused,
  ) {
    super(core, name, interest, options);
    this.#handle = typeof handler === "function" ? handler : (event, delivery) => handler.handle(event, delivery);
    this.#canHandle =
      typeof handler === "object" && handler.canHandle !== undefined ? (event) => handler.canHandle!(event) : undefined;
    this.publish = publish;
  }

  get group(): string | undefined {
    return this.options.group;
  }
  get wheel(): TimerWheel {
    return this.core.wheel;
  }
  get capacity(): number {
    return this.options.concurrency;
  }
  get stalled(): number {
    return this.paused ? this.#waiting.length : 0;
  }
  get prefetch(): number {
    return this.paused ? 0 : 2 * this.options.concurrency;
  }
  get running(): number {
    return this.#running;
  }

  start(work: Work, event: BusEvent): void {
    if (this.paused || this.#running >= this.options.concurrency) this.#waiting.push({ work, event });
    else this.#run(work, event);
  }

  abort(work: Work, reason: unknown): void {
    for (const run of this.#runs.all()) if (run.work === work) run.delivery.abort(reason);
    if (this.#waiting.remove((each) => each.work === work) > 0) work.ended(this, handBack);
  }

  abortAll(reason: unknown): void {
    for (const run of this.#runs.all()) run.delivery.abort(reason);
    this.giveBack();
  }

  giveBack(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      next.work.ended(this, handBack);
  }

  protected pump(): void {
    while (!this.paused && this.#running < this.options.concurrency && this.#waiting.length > 0) {
      if (this.core.standstill.holds(this.again)) return;
      const { work, event } = this.#waiting.shift()!;
      this.#run(work, event);
    }
  }

  #run(work: Work, event: BusEvent): void {
    const { counters, core } = this;
    this.#running += 1;
    counters.delivered += 1;
    counters.inFlight += 1;
    counters.lastDeliveryAt = core.counters.lastDeliveryAt;
    core.counters.inFlight += 1;
    const run = new Run(this, this.options.timeoutMs, work, event);
    if ((counters.delivered & 15) === 1) run.startedAt = core.clock.ticks();
    let result: unknown;
    let pending: PromiseLike<unknown> | undefined;
    try {
      if (this.#canHandle !== undefined && !this.#canHandle(event)) result = undefined;
      else if (core.options.correlateByItself) result = causedBy(event, this.#handle, event, run.delivery);
      else if (ambient() === undefined) result = this.#handle(event, run.delivery);
      else result = forNobody(() => this.#handle(event, run.delivery)); // not in the scope of whoever made it run
      if (result instanceof Promise) pending = result;
      else if (isThenable(result)) pending = Promise.resolve(result); // a foreign one may call back twice, or throw
    } catch (error) {
      this.#end(run, { kind: "failed", error });
      return;
    }
    if (pending !== undefined) {
      this.#runs.add(run);
      run.watch();
      pending.then(
        () => this.#end(run, undefined),
        (error: unknown) => this.#end(run, error === handBack ? handBack : { kind: "failed", error }),
      );
    } else this.#end(run, undefined);
  }

  #end(run: Run, end: RunEnd): void {
    if (run.startedAt >= 0) {
      const tookMs = this.core.clock.ticks() - run.startedAt;
      this.counters.tookMs(tookMs);
      this.core.counters.tookMs(tookMs);
    }
    this.#runs.delete(run);
    if (this.hung.size > 0) this.hung.delete(run);
    const late = run.over; // its time-out has decided already; only its slot is given back
    const hung = run.freed;
    run.stop();
    if (!hung) this.#free(run);
    if (!late) run.work.ended(this, end);
    else if (!hung) run.work.settled();
    this.pump();
    this.checkQuiet();
  }

  /** First at the limit: the attempt has failed. Then at twice the limit: it hangs, and its slot goes to others. */
  overdue(run: Run): void {
    const limit = this.options.timeoutMs;
    if (!run.over) {
      run.over = true;
      const error = new BusError("BUS_TIMEOUT", `the handler "${this.name}" took longer than ${limit} ms`, {
        retryable: true,
      });
      run.delivery.abort(error);
      run.work.lingers();
      this.core.wheel.start(run, limit);
      run.work.ended(this, { kind: "failed", error });
      return;
    }
    this.hung.add(run);
    this.#free(run);
    run.work.settled();
    this.pump();
    this.checkQuiet();
  }

  #free(run: Run): void {
    this.#running -= 1;
    this.counters.inFlight -= 1;
    this.core.counters.inFlight -= 1;
    run.freed = true;
  }
}

/** One run: the timer of its limit, and what the handler's delivery asks for. */
class Run extends WheelTimer implements DeliveryRun, Bagged {
  readonly work: Work;
  readonly delivery: HandlerDelivery;
  readonly #runner: RunHost;
  #limitMs: number;
  #watched = false;
  startedAt = -1;
  slot = -1;
  over = false;
  freed = false;

  constructor(runner: RunHost, limitMs: number, work: Work, event: BusEvent) {
    super();
    this.work = work;
    this.#runner = runner;
    this.#limitMs = limitMs;
    this.delivery = new HandlerDelivery(event, work.attempts + 1, this);
  }

  get group(): string | undefined {
    return this.#runner.group;
  }

  publish(
    delivery: HandlerDelivery,
    event: EventDefinition,
    data: unknown,
    options: PublishOptions | undefined,
  ): Promise<Receipt> {
    return this.#runner.publish(delivery.event, event, data, options);
  }

  extend(ms: number): void {
    if (!(ms > 0 && ms < 2 ** 31)) throw invalidOption("extend: the time must be a positive number of ms");
    if (this.over) return;
    this.#limitMs = ms;
    if (this.#watched) this.watch();
  }

  watch(): void {
    this.#watched = true;
    this.#runner.wheel.startWithNextTick(this, this.#limitMs);
  }

  override fire(): void {
    this.#runner.overdue(this);
  }

  stop(): void {
    this.cancel();
    this.over = true;
  }
}

interface RunHost {
  readonly group: string | undefined;
  readonly wheel: TimerWheel;
  readonly publish: PublishCaused;
  overdue(run: Run): void;
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { readonly then?: unknown }).then === "function";
