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
  /** Keys with a retry ahead of them, and those that wait behind it. */
  readonly #held = new Map<string, PublishOp[]>();
  #inFlight = 0;
  #inFlightBytes = 0;
  #epoch: Epoch = { outstanding: 0, emptied: undefined };
  #flushed: Promise<void> = Promise.resolve();
  #roomWaiters: (() => void)[] = [];
  #closed: BusError | undefined;

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
      ...[...this.#held.values()].flat(),
      ...this.#retrying,
      ...this.#waiting,
    ];
    for (const op of outstanding) this.#reject(op, reason, outcomeOf(op));
    this.#held.clear();
  }

  stored(op: PublishOp, position: string | undefined, duplicate: boolean): void {
    if (op.state === "done") return;
    const ahead = this.#held.size > 0 && (op.state === "held" || this.#retrying.has(op));
    this.#end(op);
    this.#core.counters.published += 1;
    if (duplicate && !op.doubtful) this.#core.counters.duplicates += 1;
    op.resolve(position, duplicate);
    if (ahead) this.#releaseKey(op);
  }

  failed(op: PublishOp, attempt: number, stored: "no" | "unknown", error: unknown): void {
    if (op.state === "done" || attempt !== op.attempt) return;
    if (stored === "unknown") op.doubtful = true;
    const wrapped = wrapError(this.#driver, `publishing to "${nameOf(op.to)}"`, error);
    const { retry } = this.#core.options.publishing;
    const decision =
      wrapped.retryable && this.#connection?.capabilities.publishRetry !== "driver"
        ? decideRetry(retry, undefined, op.attempt, error, this.#core.clock)
        : undefined;
    if (decision?.kind !== "retry" || this.#closed !== undefined) {
      const ahead = this.#retrying.has(op);
      this.#reject(op, wrapped, op.doubtful ? "unknown" : "rejected");
      if (ahead) this.#releaseKey(op);
      return;
    }
    op.state = "held";
    this.#unanswered.delete(op);
    const ahead = op.key === undefined ? undefined : this.#held.get(op.key);
    if (ahead !== undefined && !this.#retrying.has(op)) {
      // another of its key is to be tried again first: queue behind it, where it was called
      const at = ahead.findIndex((each) => each.sequence > op.sequence);
      ahead.splice(at < 0 ? ahead.length : at, 0, op);
      return;
    }
    if (op.key !== undefined && ahead === undefined) this.#held.set(op.key, []);
    this.#retrying.add(op);
    this.#core.wheel.set(decision.delayMs, () => {
      if (op.state === "held") this.#transmit(op);
    });
  }

  /** Those whose next try is to come, or under way, ahead of the held ones of their key. */
  readonly #retrying = new Set<PublishOp>();

  #limit(op: PublishOp, { timeoutMs, signal }: SendLimits): void {
    if (timeoutMs === undefined && signal === undefined) return;
    const giveUp = (code: BusErrorCode, why: string) => (): void => {
      if (op.state === "done") return;
      const ahead = this.#retrying.has(op);
      this.#reject(
        op,
        new BusError(code, `publishing to "${nameOf(op.to)}": ${why}`, { retryable: true }),
        outcomeOf(op),
      );
      if (ahead) this.#releaseKey(op);
    };
    const abort = giveUp("BUS_ABORTED", "aborted by the caller");
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#core.wheel.set(timeoutMs, giveUp("BUS_TIMEOUT", `no answer within ${timeoutMs} ms`));
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
    const held = this.#held.size === 0 || op.key === undefined ? undefined : this.#held.get(op.key);
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
    this.#core.clock.soon(this.#sendBatch);
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

  #releaseKey(op: PublishOp): void {
    if (op.key === undefined || this.#held.size === 0) return;
    const behind = this.#held.get(op.key);
    if (behind === undefined) return;
    this.#held.delete(op.key);
    for (const each of behind) if (each.state === "held") this.#transmit(each);
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
