import type { Clock } from "../../clock.ts";
import { isBusy, isFull } from "./classify.ts";
import type { Database } from "./database.ts";

/** One piece of a turn's transaction. */
export interface Job {
  /** Within the transaction. May be called again after a rollback: what it changes in memory waits for `committed`. */
  run(): void;
  /** After COMMIT returned, so after the fsync. */
  committed(): void;
  /** `unknown`: the commit itself failed, and may yet be found after a crash. */
  failed(error: unknown, stored: "no" | "unknown"): void;
}

/** Settlements come before publishes, publishes before claims: so one commit serves a message from publisher to consumer. */
export type Phase = "settle" | "write" | "claim";

/** What was committed unsynced is synced with the first turn after so long, whatever is in that; */
const syncEveryMs = 100;
/** and by itself after so long when no turn comes. */
const syncIdleMs = 500;

export interface TurnEvents {
  /** Just after BEGIN: what another process did since is seen from here on. */
  entered(): void;
  blocked(): void;
  unblocked(): void;
  /** Neither a lock nor a full disk. */
  trouble(error: unknown): void;
  /** Within a transaction, to write anything at all: a commit without is not synced. */
  mark(): void;
  /** The transaction is over; committed: whatever was the trouble is over too. */
  left(committed: boolean): void;
}

/**
 * Group commit: everything asked for in one turn of the event loop goes into one transaction. A job that throws is rolled back
 * with the others, and each is then tried by itself. While another process holds the lock the turn waits by the event loop.
 * A turn that only claims and settles need not be synced at once: what a power cut takes of it is handled again.
 */
export class Turn {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #events: TurnEvents;
  readonly #busyTimeoutMs: number;
  readonly #jobs: Readonly<Record<Phase, Set<Job>>> = { settle: new Set(), write: new Set(), claim: new Set() };
  /** What was rolled back together, to be tried one by one. */
  readonly #single: Job[] = [];
  /** Something waits that must be synced. */
  #lasting = false;
  /** When the first of what was committed unsynced was. */
  #unsyncedSince: number | undefined;
  #syncTimer: Disposable | undefined;
  /** A sync failed, and what was written unsynced before it may be missing on the disk for ever. */
  #doubtful = false;
  #scheduled = false;
  #timer: Disposable | undefined;
  #busySince: number | undefined;
  #blocked = false;
  #closed: Error | undefined;
  #idle: (() => void)[] = [];

  constructor(database: Database, clock: Clock, busyTimeoutMs: number, events: TurnEvents) {
    this.#database = database;
    this.#clock = clock;
    this.#busyTimeoutMs = busyTimeoutMs;
    this.#events = events;
  }

  /** Once a turn, however often it is asked for. `lasting`: a power cut must not undo it once it is committed. */
  add(job: Job, phase: Phase, lasting: boolean = phase === "write"): void {
    if (this.#closed !== undefined) return job.failed(this.#closed, "no");
    this.#jobs[phase].add(job);
    if (lasting) this.#lasting = true;
    this.#schedule();
  }

  /** Runs it in the next turn; rejects with what it threw. */
  do<Result>(body: () => Result, phase: Phase = "write"): Promise<Result> {
    return new Promise((resolve, reject) => {
      let result: Result;
      this.add(
        {
          run: () => void (result = body()),
          committed: () => resolve(result),
          failed: (error) => reject(error instanceof Error ? error : new Error(String(error))),
        },
        phase,
      );
    });
  }

  /** Resolves when nothing waits any more. */
  settled(): Promise<void> {
    if (!this.#waiting()) return Promise.resolve();
    return new Promise((resolve) => void this.#idle.push(resolve));
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** What waits now fails, and what comes later. */
  close(reason: Error = closedError()): void {
    this.#closed = reason;
    this.#timer?.[Symbol.dispose]();
    this.#syncTimer?.[Symbol.dispose]();
    this.#fail(reason);
    this.#emptied();
  }

  #waiting(): boolean {
    return (
      this.#single.length > 0 || this.#jobs.settle.size > 0 || this.#jobs.write.size > 0 || this.#jobs.claim.size > 0
    );
  }

  #schedule(): void {
    if (this.#scheduled || this.#timer !== undefined) return;
    this.#scheduled = true;
    this.#clock.soon(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#timer = undefined;
    while (this.#closed === undefined && this.#waiting()) {
      const synced = this.#mustSync();
      try {
        if (this.#doubtful) this.#mend();
        this.#database.begin(synced);
      } catch (error) {
        if (isBusy(error)) return this.#later();
        this.#events.trouble(error);
        this.#fail(error);
        break;
      }
      const next = this.#single.shift();
      const jobs = next === undefined ? this.#take() : [next];
      const ended = this.#together(jobs, synced);
      if (ended === "busy") {
        this.#single.unshift(...jobs);
        return this.#later();
      }
      if (ended === "thrown") this.#single.push(...jobs);
      else if (this.#single.length === 0) break;
    }
    if (this.#closed !== undefined) this.#fail(this.#closed);
    if (this.#waiting()) this.#schedule();
    else this.#emptied();
  };

  #fail(error: unknown): void {
    for (const job of this.#take()) job.failed(error, "no");
  }

  #take(): readonly Job[] {
    const { settle, write, claim } = this.#jobs;
    const jobs = [...this.#single.splice(0), ...settle, ...write, ...claim];
    settle.clear();
    write.clear();
    claim.clear();
    this.#lasting = false;
    return jobs;
  }

  /** Of what waits now. What is tried again is not asked whether it had to be. */
  #mustSync(): boolean {
    if (!this.#database.syncs) return true;
    if (this.#unsyncedFor() >= syncEveryMs) {
      this.#jobs.settle.add(this.#mark);
      return true;
    }
    return this.#lasting || this.#doubtful || this.#single.length > 0;
  }

  /** `thrown`, by one of several, and `busy`: nothing was done, nobody was told. */
  #together(jobs: readonly Job[], synced: boolean): "done" | "thrown" | "busy" {
    let committing = false;
    let wrote = false;
    try {
      this.#begun(); // whatever is added now comes with the next turn, which asks whether it must be synced
      if (this.#closed !== undefined) throw this.#closed;
      this.#events.entered();
      const before = this.#database.changes();
      for (const job of jobs) job.run();
      wrote = this.#database.changes() !== before;
      committing = true;
      this.#database.commit();
    } catch (error) {
      this.#undo();
      if (isBusy(error)) return "busy";
      const full = isFull(error);
      this.#doubtful ||= committing && !full && this.#database.syncs;
      if ((!committing || full) && jobs.length > 1) return "thrown";
      if (!full) this.#events.trouble(error);
      for (const job of jobs) job.failed(error, committing && !full ? "unknown" : "no");
      return "done";
    }
    if (wrote) this.#wrote(synced);
    this.#events.left(true);
    for (const job of jobs) job.committed();
    if (wrote && synced) this.#checkpoint();
    return "done";
  }

  #undo(): void {
    try {
      this.#database.rollback();
    } catch (error) {
      this.#events.trouble(error); // it is tried again before the next transaction
    }
    this.#events.left(false);
  }

  /** A log with a hole would end there after a power cut: a new one is begun before anything more is written. */
  #mend(): void {
    this.#database.restartLog();
    this.#doubtful = false;
    this.#unsyncedSince = undefined;
  }

  /** What was just committed is acknowledged, and synced. */
  #checkpoint(): void {
    if (this.#closed !== undefined) return;
    try {
      this.#database.checkpoint();
    } catch (error) {
      if (isBusy(error) || isFull(error)) return; // the log stays as it is
      this.#doubtful = true;
      this.#events.trouble(error);
    }
  }

  #wrote(synced: boolean): void {
    if (synced) this.#unsyncedSince = undefined;
    else this.#unsyncedSince ??= this.#clock.ticks();
    this.#syncIn(syncIdleMs);
  }

  #unsyncedFor(): number {
    return this.#unsyncedSince === undefined ? -1 : this.#clock.ticks() - this.#unsyncedSince;
  }

  /** No timer while there is nothing to sync, and not one a turn. */
  #syncIn(ms: number): void {
    if (this.#unsyncedSince === undefined || this.#syncTimer !== undefined || this.#closed !== undefined) return;
    this.#syncTimer = this.#clock.after(ms, () => {
      this.#syncTimer = undefined;
      const since = this.#unsyncedFor();
      if (since >= syncIdleMs) this.add(this.#mark, "settle", true);
      else this.#syncIn(syncIdleMs - since);
    });
  }

  readonly #mark: Job = {
    run: () => void (this.#unsyncedSince !== undefined && this.#events.mark()),
    committed: () => this.#syncIn(syncIdleMs),
    failed: () => this.#syncIn(syncIdleMs),
  };

  #later(): void {
    const now = this.#clock.ticks();
    this.#busySince ??= now;
    if (!this.#blocked && now - this.#busySince >= this.#busyTimeoutMs) {
      this.#blocked = true;
      this.#events.blocked();
    }
    // Two that wait for the same lock must not keep step.
    this.#timer = this.#clock.after(1 + this.#clock.random() * 3, this.#flush);
  }

  #begun(): void {
    this.#busySince = undefined;
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#events.unblocked();
  }

  #emptied(): void {
    if (this.#idle.length === 0 || this.#waiting()) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

function closedError(): Error {
  return Object.assign(new Error("the connection is closed"), { code: "ERR_INVALID_STATE" });
}
