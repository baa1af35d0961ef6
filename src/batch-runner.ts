import { causedBy, forNobody } from "./context.ts";
import type { Core } from "./core.ts";
import { BusError } from "./errors.ts";
import type { BusEvent } from "./event.ts";
import { HandlerDelivery } from "./handler-delivery.ts";
import { BaseRunner, type Interest, type PublishCaused } from "./handler-runner.ts";
import type { BatchFailure, BatchHandler, BatchOptions } from "./handler.ts";
import { Fifo } from "./internal/fifo.ts";
import { invalidOption } from "./option-check.ts";
import type { ResolvedSubscribe } from "./normalise.ts";
import type { WheelTimer } from "./timer-wheel.ts";
import { handBack, type RunEnd, type Work } from "./work.ts";

interface Entry {
  readonly work: Work;
  readonly event: BusEvent;
  readonly arrived: number;
}

/** Runs a handler for many events at once: when there are enough of them, or the oldest has waited long enough. */
export class BatchRunner extends BaseRunner {
  readonly #handle: BatchHandler<BusEvent>;
  readonly #publish: PublishCaused;
  readonly #batch: BatchOptions;
  readonly #waiting = new Fifo<Entry>();
  readonly #runs = new Set<BatchRun>();
  #running = 0;
  #timer: WheelTimer | undefined;

  constructor(
    core: Core,
    name: string,
    interest: Interest,
    options: ResolvedSubscribe,
    batch: BatchOptions,
    handler: BatchHandler<BusEvent>,
    publish: PublishCaused,
  ) {
    super(core, name, interest, options);
    this.#handle = handler;
    this.#batch = batch;
    this.#publish = publish;
  }

  /** Enough to gather the next batch while the others run. */
  get capacity(): number {
    return (this.options.concurrency + 1) * this.#batch.maxSize;
  }
  get stalled(): number {
    return this.paused ? this.#waiting.length : 0;
  }
  get prefetch(): number {
    return this.paused ? 0 : this.capacity;
  }
  get running(): number {
    return this.#running;
  }

  start(work: Work, event: BusEvent): void {
    this.#waiting.push({ work, event, arrived: this.core.clock.ticks() });
    this.pump();
  }

  abort(work: Work, reason: unknown): void {
    for (const run of this.#runs)
      if (run.entries.some((entry) => entry.work === work))
        for (const delivery of run.deliveries) delivery.abort(reason);
    if (this.#waiting.remove((entry) => entry.work === work) > 0) work.ended(this, handBack);
  }

  abortAll(reason: unknown): void {
    for (const run of this.#runs) for (const delivery of run.deliveries) delivery.abort(reason);
    this.giveBack();
  }

  giveBack(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift())
      next.work.ended(this, handBack);
  }

  protected pump(): void {
    while (!this.paused && this.#running < this.options.concurrency && this.#waiting.length > 0) {
      const wait =
        this.#waiting.length >= this.#batch.maxSize
          ? 0
          : this.#batch.maxAgeMs - (this.core.clock.ticks() - this.#waiting.peek()!.arrived);
      if (wait > 0) {
        if (this.#timer !== undefined) return;
        this.#timer = this.core.wheel.set(wait, () => {
          this.#timer = undefined;
          this.pump();
        });
        return;
      }
      if (this.core.standstill.holds(this.again)) return;
      const entries: Entry[] = [];
      while (entries.length < this.#batch.maxSize && this.#waiting.length > 0) entries.push(this.#waiting.shift()!);
      this.#run(entries);
    }
  }

  #run(entries: readonly Entry[]): void {
    const { core, counters } = this;
    this.#running += 1;
    counters.delivered += entries.length;
    counters.inFlight += entries.length;
    counters.lastDeliveryAt = core.counters.lastDeliveryAt;
    core.counters.inFlight += entries.length;
    const run = new BatchRun(this.options.group, entries, this.#publish);
    this.#runs.add(run);
    const startedAt = core.clock.ticks();
    run.timer = core.wheel.set(this.options.timeoutMs, () => this.#overdue(run));
    run.extend = (ms) => {
      if (!(ms > 0 && ms < 2 ** 31)) throw invalidOption("extend: the time must be a positive number of ms");
      if (run.over) return;
      run.timer?.cancel();
      run.timer = core.wheel.set(ms, () => this.#overdue(run));
    };
    const events = entries.map((entry) => entry.event);
    const call = async (all: readonly BusEvent[], context: BatchRun): Promise<void | readonly BatchFailure[]> =>
      this.#handle(all, context);
    const [only] = events;
    (core.options.correlateByItself && events.length === 1 && only !== undefined
      ? causedBy(only, call, events, run)
      : forNobody(() => call(events, run))
    ).then(
      (failures) => this.#end(run, startedAt, checked(failures, entries)),
      (error: unknown) =>
        this.#end(
          run,
          startedAt,
          entries.map((entry) => ({ id: entry.event.id, error })),
        ),
    );
  }

  #end(run: BatchRun, startedAt: number, failures: readonly BatchFailure[]): void {
    const tookMs = this.core.clock.ticks() - startedAt;
    this.counters.tookMs(tookMs);
    this.core.counters.tookMs(tookMs);
    run.timer?.cancel();
    this.#runs.delete(run);
    this.hung.delete(run);
    if (!run.freed) this.#free(run);
    if (!run.over) this.#tell(run, new Map(failures.map((failure) => [failure.id, failure.error])));
    else if (!run.hung) for (const { work } of run.entries) work.settled();
    run.over = true;
    this.pump();
    this.checkQuiet();
  }

  #tell(run: BatchRun, errors: ReadonlyMap<string, unknown>): void {
    run.over = true;
    for (const { work, event } of run.entries) {
      const end: RunEnd = errors.has(event.id) ? { kind: "failed", error: errors.get(event.id) } : undefined;
      work.ended(this, end);
    }
  }

  #overdue(run: BatchRun): void {
    if (!run.over) {
      const error = new BusError(
        "BUS_TIMEOUT",
        `the handler "${this.name}" took longer than ${this.options.timeoutMs} ms`,
        { retryable: true },
      );
      for (const delivery of run.deliveries) delivery.abort(error);
      for (const { work } of run.entries) work.lingers();
      run.timer = this.core.wheel.set(this.options.timeoutMs, () => this.#overdue(run));
      this.#tell(run, new Map(run.entries.map(({ event }) => [event.id, error])));
      return;
    }
    run.hung = true;
    this.hung.add(run);
    this.#free(run);
    for (const { work } of run.entries) work.settled();
    this.pump();
    this.checkQuiet();
  }

  #free(run: BatchRun): void {
    run.freed = true;
    this.#running -= 1;
    this.counters.inFlight -= run.entries.length;
    this.core.counters.inFlight -= run.entries.length;
  }
}

/** A handler's own answer: one that names no event of the batch has failed as a whole. */
function checked(failures: unknown, entries: readonly Entry[]): readonly BatchFailure[] {
  if (failures === undefined || failures === null) return [];
  const ids = new Set(entries.map(({ event }) => event.id));
  const named = (failure: unknown): boolean => ids.has((Object(failure) as { readonly id?: unknown }).id as string);
  if (Array.isArray(failures) && failures.every(named)) return failures as readonly BatchFailure[];
  const error = new BusError(
    "BUS_HANDLER",
    "a batch handler must answer nothing, or a list of { id, error } of events of its batch",
  );
  return [...ids].map((id) => ({ id, error }));
}

class BatchRun {
  readonly entries: readonly Entry[];
  readonly deliveries: readonly HandlerDelivery[];
  timer: WheelTimer | undefined;
  extend: (ms: number) => void = () => undefined;
  over = false;
  freed = false;
  hung = false;

  constructor(group: string | undefined, entries: readonly Entry[], publish: PublishCaused) {
    this.entries = entries;
    this.deliveries = entries.map(
      ({ work, event }) =>
        new HandlerDelivery(event, work.attempts + 1, {
          group,
          extend: (ms) => this.extend(ms),
          publish: (delivery, definition, data, options) => publish(delivery.event, definition, data, options),
        }),
    );
  }

  get signal(): AbortSignal {
    return this.deliveries[0]!.signal;
  }
}
