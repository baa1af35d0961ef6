import { forNobody } from "./context.ts";
import type { Core } from "./core.ts";
import type { Address, Driver, DriverConnection, OutMessage } from "./driver.ts";
import { BusError, PublishError, type BusErrorCode } from "./errors.ts";
import { Fifo } from "./internal/fifo.ts";
import type { Completion, Epoch, PublishOp } from "./publish-op.ts";
import type { Receipt } from "./receipt.ts";
import { decideRetry } from "./retry-decision.ts";
import { wrapError } from "./wrap-error.ts";

export interface SendLimits {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * What goes out of this bus: one batch a turn, bounded in flight, tried again by one policy. A publish that waits for its next
 * try holds back the later ones of its key, so that a retry keeps their order.
 */
export class Outbound implements Completion {
  readonly #core: Core;
  readonly #driver: Driver;
  #connection: DriverConnection | undefined;
  #batch: PublishOp[] = [];
  /** Sent and not yet answered. */
  readonly #unanswered = new Set<PublishOp>();
  #sequence = 0;
  #watching = false;
  #scheduled = false;
  /** Above the bound: in order of their calls. */
  readonly #waiting = new Fifo<PublishOp>();
  /** Keys with a retry ahead, and those that wait behind it, in order of their calls. */
  readonly #lanes = new Map<string, { head: PublishOp; readonly queue: PublishOp[] }>();
  /** Those whose next try is to come, or under way. */
  readonly #retrying = new Set<PublishOp>();
  #inFlight = 0;
  #inFlightBytes = 0;
  #epoch: Epoch = { outstanding: 0, emptied: undefined };
  #flushed: Promise<void> = Promise.resolve();
  #roomWaiters: (() => void)[] = [];
  #closed: BusError | undefined;
  readonly #closeListeners = new Set<() => void>();

  constructor(core: Core, driver: Driver) {
    this.#core = core;
    this.#driver = driver;
  }

  /** From now on batches go to this connection. */
  connected(connection: DriverConnection): void {
    this.#connection = connection;
    this.#schedule();
  }

  send(op: PublishOp, limits: SendLimits | undefined): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      op.completion = this;
      op.settle = resolve;
      op.reject = reject;
      op.epoch = this.#epoch;
      op.sequence = this.#sequence++;
      this.#epoch.outstanding += 1;
      if (this.#closed !== undefined) return this.#reject(op, this.#closed, "rejected");
      if (limits !== undefined) this.#limit(op, limits);
      if (op.state === "done") return;
      if (
        this.#inFlight >= this.#core.options.publishing.maxInFlight ||
        this.#inFlightBytes >= this.#core.options.publishing.maxInFlightBytes ||
        this.#waiting.length > 0
      )
        this.#waiting.push(op);
      else this.#admit(op);
    });
  }

  /** Resolves when one more publish would not have to wait. */
  room(): Promise<void> | undefined {
    if (
      this.#waiting.length === 0 &&
      this.#inFlight < this.#core.options.publishing.maxInFlight &&
      this.#inFlightBytes < this.#core.options.publishing.maxInFlightBytes
    )
      return undefined;
    return new Promise((resolve) => void this.#roomWaiters.push(resolve));
  }

  /** Calls back when it is closed. The result takes that back. */
  onClose(callback: () => void): () => void {
    this.#closeListeners.add(callback);
    return () => this.#closeListeners.delete(callback);
  }

  /** Resolves when everything sent so far has ended, well or badly. */
  flush(): Promise<void> {
    const epoch = this.#epoch;
    this.#epoch = { outstanding: 0, emptied: undefined };
    const before = this.#flushed;
    const own =
      epoch.outstanding === 0 ? before : new Promise<void>((resolve) => (epoch.emptied = resolve)).then(() => before);
    this.#flushed = own;
    return own;
  }

  /** What has not ended is given up: `rejected` where no byte left, `unknown` else. */
  close(reason: BusError): void {
    this.#closed = reason;
    const outstanding = [
      ...this.#unanswered,
      ...this.#batch,
      ...[...this.#lanes.values()].flatMap(({ queue }) => queue),
      ...this.#retrying,
      ...this.#waiting,
    ];
    for (const op of outstanding) this.#reject(op, reason, outcomeOf(op));
    this.#lanes.clear();
    for (const callback of this.#closeListeners) callback();
  }

  stored(op: PublishOp, position: string | undefined, duplicate: boolean): void {
    if (op.state === "done") return;
    this.#end(op);
    this.#core.counters.published += 1;
    if (duplicate && !op.doubtful) this.#core.counters.duplicates += 1;
    op.resolve(position, duplicate);
    if (this.#lanes.size > 0) this.#advance(op);
  }

  failed(op: PublishOp, attempt: number, stored: "no" | "unknown", error: unknown): void {
    if (op.state !== "sent" || attempt !== op.attempt) return;
    if (stored === "unknown") op.doubtful = true;
    const wrapped = wrapError(this.#driver, `publishing to "${nameOf(op.to)}"`, error);
    op.failure = wrapped;
    const { retry } = this.#core.options.publishing;
    const decision =
      wrapped.retryable &&
      wrapped.code !== "BUS_FULL" &&
      this.#closed === undefined &&
      this.#connection?.capabilities.publishRetry !== "driver"
        ? decideRetry(retry, undefined, op.attempt, error, this.#core.clock)
        : undefined;
    if (decision?.kind !== "retry") {
      this.#reject(op, wrapped, op.doubtful ? "unknown" : "rejected");
      this.#advance(op, wrapped);
      return;
    }
    op.state = "held";
    this.#unanswered.delete(op);
    if (this.#comesFirst(op)) this.#again(op, decision.delayMs);
  }

  /** Whether it is the one of its key to be tried again now; else it waits behind that one, where it was called. */
  #comesFirst(op: PublishOp): boolean {
    if (op.key === undefined) return true;
    const lane = this.#lanes.get(op.key);
    if (lane === undefined) this.#lanes.set(op.key, { head: op, queue: [] });
    if (lane === undefined || lane.head === op) return true;
    const overtakes = op.sequence < lane.head.sequence && lane.head.state === "held";
    const behind = overtakes ? lane.head : op;
    if (overtakes) lane.head = op;
    const at = lane.queue.findIndex((each) => each.sequence > behind.sequence);
    lane.queue.splice(at < 0 ? lane.queue.length : at, 0, behind);
    return overtakes;
  }

  #again(op: PublishOp, delayMs: number): void {
    this.#retrying.add(op);
    this.#core.wheel.set(delayMs, () => {
      if (op.state === "held" && (op.key === undefined || this.#lanes.get(op.key)?.head === op)) this.#transmit(op);
    });
  }

  /** The retry that a key waited for has ended: those behind it go out together, in order, or fail with it (`publishOrder`). */
  #advance(op: PublishOp, failure?: BusError): void {
    const lane = op.key === undefined ? undefined : this.#lanes.get(op.key);
    if (lane?.head !== op) return;
    this.#lanes.delete(op.key!);
    const held = lane.queue.filter(({ state }) => state === "held");
    if (failure === undefined || this.#connection?.capabilities.publishOrder !== "prefix")
      for (const each of held) this.#transmit(each);
    else
      for (const each of held) {
        const why = `publishing to "${nameOf(each.to)}": the one of its key before it failed (${failure.code})`;
        this.#reject(each, new BusError(failure.code, why, { retryable: failure.retryable }), outcomeOf(each));
      }
  }

  #limit(op: PublishOp, { timeoutMs, signal }: SendLimits): void {
    if (timeoutMs === undefined && signal === undefined) return;
    const giveUp = (code: BusErrorCode, why: string) => (): void => {
      if (op.state === "done") return;
      const last = op.failure === undefined ? "" : `; the last try said: ${op.failure.message}`;
      const message = `publishing to "${nameOf(op.to)}": ${why}${last}`;
      const error = new BusError(code, message, { retryable: true, cause: op.failure });
      this.#reject(op, error, outcomeOf(op));
      this.#advance(op, error);
    };
    const abort = giveUp("BUS_ABORTED", "aborted by the caller");
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#core.wheel.set(timeoutMs, giveUp("BUS_TIMEOUT", `not stored within ${timeoutMs} ms`));
    op.release = () => {
      timer?.cancel();
      signal?.removeEventListener("abort", abort);
    };
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  }

  #admit(op: PublishOp): void {
    this.#inFlight += 1;
    this.#inFlightBytes += op.body.byteLength;
    const held = this.#lanes.size === 0 || op.key === undefined ? undefined : this.#lanes.get(op.key)?.queue;
    if (held === undefined) this.#transmit(op);
    else {
      op.state = "held";
      held.push(op);
    }
  }

  #transmit(op: PublishOp): void {
    op.state = "batched";
    this.#batch.push(op);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#batch.length === 0 || this.#connection === undefined) return;
    this.#scheduled = true;
    forNobody(() => this.#core.clock.soon(this.#sendBatch));
  }

  readonly #sendBatch = (): void => {
    this.#scheduled = false;
    const connection = this.#connection;
    if (connection === undefined) return;
    const ops = this.#batch;
    this.#batch = [];
    const messages: OutMessage[] = [];
    for (const op of ops) {
      if (op.state === "done") continue; // given up in the same turn: never sent
      op.state = "sent";
      op.attempt += 1;
      messages.push(op.again(op.attempt));
    }
    if (messages.length === 0) return;
    connection.send(messages);
    for (const op of ops) if (op.state === "sent") this.#unanswered.add(op);
    if (this.#unanswered.size > 0) this.#watch();
  };

  /** One timer for all that is under way, however many; each is given between one and two limits. */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    const { attemptTimeoutMs } = this.#core.options.publishing;
    const seen = [...this.#unanswered].map((op) => [op, op.attempt] as const);
    this.#core.wheel.set(attemptTimeoutMs, () => {
      this.#watching = false;
      for (const [op, attempt] of seen) {
        if (op.state === "sent" && op.attempt === attempt)
          this.failed(
            op,
            attempt,
            "unknown",
            new BusError("BUS_TIMEOUT", `no answer within ${attemptTimeoutMs} ms`, { retryable: true }),
          );
      }
      if (this.#unanswered.size > 0) this.#watch();
    });
  }

  #reject(op: PublishOp, error: BusError, outcome: "rejected" | "unknown"): void {
    if (op.state === "done") return;
    this.#end(op);
    this.#core.counters.publishFailed += 1;
    op.reject!(
      new PublishError(
        error.code,
        `${error.message} (event ${op.id}, ${outcome === "unknown" ? "it may be stored" : "not stored"}, ${op.attempt} ${op.attempt === 1 ? "try" : "tries"})`,
        {
          outcome,
          id: op.id,
          topic: nameOf(op.to),
          attempts: op.attempt,
          retryable: error.retryable,
          cause: error.cause ?? error,
        },
      ),
    );
  }

  #end(op: PublishOp): void {
    const admitted = op.state !== "queued";
    op.state = "done";
    op.release?.();
    this.#unanswered.delete(op);
    this.#retrying.delete(op);
    if (admitted) {
      this.#inFlight -= 1;
      this.#inFlightBytes -= op.body.byteLength;
    }
    const epoch = op.epoch!;
    if (--epoch.outstanding === 0) epoch.emptied?.();
    while (
      this.#waiting.length > 0 &&
      this.#inFlight < this.#core.options.publishing.maxInFlight &&
      this.#inFlightBytes < this.#core.options.publishing.maxInFlightBytes
    ) {
      const next = this.#waiting.shift()!;
      if (next.state === "queued") this.#admit(next);
    }
    if (this.#roomWaiters.length > 0 && this.#waiting.length === 0) {
      const waiters = this.#roomWaiters;
      this.#roomWaiters = [];
      for (const resolve of waiters) resolve();
    }
  }
}

/** Before its first byte left a publish is certainly not stored. */
const outcomeOf = (op: PublishOp): "rejected" | "unknown" =>
  op.attempt > 0 && (op.doubtful || op.state === "sent") ? "unknown" : "rejected";

function nameOf(to: Address): string {
  if (to.kind === "queue") return `${to.group} (queue)`;
  return to.kind === "inbox" ? "an inbox" : to.topic;
}
