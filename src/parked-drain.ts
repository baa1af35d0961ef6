import type { Core } from "./core.ts";
import type { Headers, InMessage, StoredMessage } from "./driver.ts";
import { BusError } from "./errors.ts";
import type { HaltedKeys, StoredParked } from "./halted-keys.ts";
import type { BaseRunner } from "./handler-runner.ts";
import { decideHandOn } from "./hand-on.ts";
import { Intake } from "./intake.ts";
import { haltingId, letterOf } from "./letter.ts";
import { givenUpFor, historyHeaders, noteOf } from "./message-history.ts";
import type { Outcomes } from "./outcomes.ts";
import { type ParkedEvent, ParkedMessage } from "./parked-event.ts";
import { open } from "./receiving.ts";
import { reportDead, reportFailed, reportHandled, reportRetried, reportUnhandled } from "./report.ts";
import { errorFields } from "./status-board.ts";
import { header } from "./wire-names.ts";
import { type Runner, Work } from "./work.ts";

const againMs = 1_000;

type Result = "done" | "stale" | "unknown";
/** How the run of a parked event ended: `halted`: its letter is stored, in the place of the replay that handed it out. */
type End = "handled" | "halted" | "lost";

interface Run {
  /** The replay that it was parked behind: while that is ours, so is this. */
  readonly replay: Work;
  readonly replayed: string;
  readonly store: HaltedKeys;
  readonly message: ParkedMessage;
  parked: StoredParked;
  readonly end: (how: End) => void;
}

export interface DrainHost {
  readonly group: string;
  readonly closing: boolean;
  ack(work: Work): void;
  lose(work: Work): void;
  /** Notes of a replay that was handled that nothing behind it is due before then: it may go to another owner meanwhile. */
  waits(replay: Work, notBefore: number): Promise<Result>;
  /** Stores the letter, and settles the message. */
  settle(message: InMessage, letter: StoredMessage): Promise<Result>;
  dropped(work: Work, error: unknown): void;
  /** What was last learned of a key; that it is free, if nothing was since. */
  mark(key: string): number | undefined;
  free(key: string, mark: number | undefined): void;
}

/**
 * Hands out what is parked behind a replayed letter, one after another, beside what is delivered. The replay's message stays
 * unsettled until nothing is left: whoever gets it after a crash goes on with the first that is still there.
 */
export class ParkedDrain implements Outcomes {
  readonly #core: Core;
  readonly #host: DrainHost;
  readonly #intake: Intake;
  readonly #runs = new Map<Work, Run>();
  readonly #flows = new Set<Promise<void>>();

  constructor(core: Core, host: DrainHost) {
    this.#core = core;
    this.#host = host;
    this.#intake = new Intake(core, this, true, core.standstill);
  }

  add(runner: BaseRunner): void {
    this.#intake.add(runner);
  }
  remove(runner: BaseRunner): void {
    this.#intake.remove(runner);
  }
  resized(): void {
    this.#intake.resized();
  }
  /** Nothing starts any more; resolves when nothing runs, and what ran is written down. */
  async stop(): Promise<void> {
    await this.#intake.stop();
    while (this.#flows.size > 0) await Promise.all(this.#flows);
    for (const work of [...this.#runs.keys()]) this.#end(work, "lost"); // whoever gets the replay goes on with it
  }
  /** Of replays that are no longer ours. */
  revoke(reason: unknown): void {
    if (this.#runs.size > 0) this.#intake.revoke((work) => this.#runs.get(work)?.replay.revoked === true, reason);
  }

  async drain(replay: Work, store: HaltedKeys): Promise<void> {
    const key = replay.key!;
    const over = (): boolean => replay.revoked || replay.state === "gone" || this.#host.closing;
    /** What was parked twice is handled once. */
    const replayed = haltingId(replay.message)!;
    const seen = new Set([replayed]);
    let suspect = replay.message.deliveries > 1;
    let isFree = false;
    let mark: number | undefined;
    while (!isFree) {
      mark = this.#host.mark(key);
      const halt = await store.of(key);
      if (over()) return;
      isFree = halt === undefined;
      if (halt?.id !== replayed && halt?.via !== replayed) break; // it was done by another, or before
      const names = await store.parked(halt);
      isFree = names.length === 0 && (await store.release(halt));
      for (const name of names) {
        const parked = await store.event(name);
        if (over()) return;
        if (parked === undefined) continue;
        if (!seen.has(parked.event.id)) {
          const end = await this.#run({ replay, replayed, store, parked }, suspect);
          if (end === "halted" || over()) return;
          if (end === "lost") throw new BusError("BUS_CONFLICT", "another hands it out");
          seen.add(parked.event.id);
          suspect = false;
        } else await store.remove(parked);
      }
    }
    if (isFree) this.#host.free(key, mark);
    this.#host.ack(replay);
  }

  #run(run: Omit<Run, "message" | "end">, suspect: boolean): Promise<End> {
    const { event } = run.parked;
    return new Promise((end) => {
      const message = new ParkedMessage(event, suspect || event.attempts > 0);
      const work = new Work(message, this.#intake, event.key, false);
      work.suspect = suspect;
      this.#runs.set(work, { ...run, message, end });
      this.#intake.take(work);
      this.#intake.pump();
    });
  }

  // ── what becomes of one

  takes(work: Work): boolean {
    const error = givenUpFor(work);
    if (error === undefined) return false;
    try {
      work.envelope ??= open(this.#core, work.message);
    } catch {
      // as it was when it was given up
    }
    this.dead(work, error);
    return true;
  }

  handled(work: Work): void {
    reportHandled(this.#core, work);
    this.#follow(work, async ({ store, parked }) => {
      // written anew or gone, another hands it out; or it was removed, and the answer lost
      this.#end(work, (await store.remove(parked)) ? "handled" : "lost");
    });
  }

  again(work: Work, attempts: number, delayMs: number): void {
    reportRetried(this.#core, work, this.#host.group, delayMs);
    this.#keep(work, attempts, delayMs, historyHeaders(work));
  }

  unhandled(work: Work, why: string, handOnMs: number): void {
    const { message } = work;
    const error = new BusError("BUS_NO_HANDLER", `group "${this.#host.group}": ${why}`);
    const hops = noteOf(message, header.hops);
    if (hops === undefined) reportUnhandled(this.#core, work, this.#host.group, error);
    const decision = decideHandOn(hops, noteOf(message, header.handedOnSince), this.#core.clock.now(), handOnMs);
    if (decision.kind === "dead") return this.dead(work, error);
    this.#keep(work, work.attempts, decision.delayMs, [
      ...historyHeaders(work),
      [header.hops, String(decision.hops)],
      [header.handedOnSince, String(decision.since)],
    ]);
  }

  back(work: Work): void {
    if (this.#host.closing) this.#end(work, "lost");
    else this.#intake.park(work, 0);
  }

  /** The key is halted anew, by this one: the letter takes the place of the replay that handed it out. */
  dead(work: Work, error: unknown): void {
    this.#follow(work, async (run) => {
      const { replay, replayed, store } = run;
      const { id } = run.parked.event;
      if (
        (await this.#rewrite(work, {
          attempts: work.attempts,
          notes: [...historyHeaders(work), [header.givenUp, "1"]],
        })) !== "done"
      )
        return this.#end(work, "lost");
      for (;;) {
        const halt = await store.of(replay.key!);
        if (halt?.id !== id && halt?.id !== replayed && halt?.via !== replayed) return this.#end(work, "lost");
        if ((await store.change(halt, { id, via: replayed })) !== undefined) break;
      }
      if (replay.revoked) return this.#end(work, "lost");
      const letter = letterOf(work, this.#host.group, error, this.#core.clock.now(), true);
      const settled = await this.#host.settle(replay.message, letter);
      if (settled === "unknown" && !replay.revoked) throw new BusError("BUS_SERVER", "its letter could not be stored");
      if (settled !== "done") {
        this.#end(work, "lost");
        return this.#host.lose(replay);
      }
      reportDead(this.#core, work, this.#host.group, error);
      await this.#settled(run, id).catch((failure: unknown) => this.#warn("after a letter", failure)); // the next drain passes it by
      this.#end(work, "halted");
      this.#host.lose(replay);
    });
  }

  dropped(work: Work, error: unknown): void {
    this.#host.dropped(work, error);
  }

  failed(work: Work, runner: Runner, error: unknown): void {
    reportFailed(this.#core, work, this.#host.group, runner, error);
  }

  note(work: Work, attempts: number): Promise<Result> {
    return this.#rewrite(work, { attempts, notBefore: undefined, notes: historyHeaders(work) }).catch(() => "unknown");
  }

  load(): void {
    // what is parked is in no window
  }

  gone(work: Work): void {
    this.#runs.get(work)?.end("lost");
    this.#runs.delete(work);
  }

  // ──

  /** First that no copy of the replay hands it out again, then that it is not there. */
  async #settled({ store, parked, replay }: Run, id: string): Promise<void> {
    for (;;) {
      const halt = await store.of(replay.key!);
      if (halt?.id !== id) return;
      if ((await store.change(halt, { via: undefined })) !== undefined) break;
    }
    await store.remove(parked);
  }

  #keep(work: Work, attempts: number, delayMs: number, notes: Headers): void {
    this.#follow(work, async () => {
      const notBefore = this.#core.clock.now() + delayMs;
      if ((await this.#rewrite(work, { attempts, notBefore, notes })) !== "done") return this.#end(work, "lost");
      work.attempts = attempts;
      const replay = this.#runs.get(work)?.replay;
      if (replay === undefined || (await this.#host.waits(replay, notBefore)) === "stale")
        return this.#end(work, "lost");
      this.#intake.park(work, delayMs);
    });
  }

  async #rewrite(work: Work, changes: Partial<ParkedEvent>): Promise<Result> {
    const run = this.#runs.get(work);
    if (run === undefined || run.replay.revoked) return "stale";
    const kept = run.parked.event.notes.filter(([name]) => !changes.notes?.some(([each]) => each === name));
    const notes = [...kept, ...(changes.notes ?? [])];
    const parked = await run.store.rewrite(run.parked, { ...changes, notes }).catch((error: unknown) => {
      if ((error as { readonly code?: unknown }).code !== "BUS_TOO_LARGE") throw error;
      const short = notes.filter(([name]) => name !== header.history); // what it is to be handled by is worth more than why it failed
      return run.store.rewrite(run.parked, { ...changes, notes: short });
    });
    if (parked === undefined) return "stale";
    run.parked = parked;
    run.message.noted(notes);
    return "done";
  }

  /** Once more when it fails, while the replay is ours. */
  #follow(work: Work, flow: (run: Run) => Promise<void>): void {
    const run = this.#runs.get(work);
    if (run === undefined) return;
    const following = flow(run)
      .catch((error: unknown) => {
        if (run.replay.revoked || this.#host.closing) return this.#end(work, "lost");
        this.#warn("handing out what is parked", error);
        this.#core.wheel.set(againMs, () => {
          if (run.replay.revoked || this.#host.closing) this.#end(work, "lost");
          else this.#follow(work, flow);
        });
      })
      .finally(() => this.#flows.delete(following));
    this.#flows.add(following);
  }

  #end(work: Work, how: End): void {
    this.#runs.get(work)?.end(how);
    this.#runs.delete(work);
    this.#intake.leave(work);
  }

  #warn(what: string, error: unknown): void {
    this.#core.board.log("warn", "halted keys: tried again", {
      doing: what,
      group: this.#host.group,
      ...errorFields(error),
    });
  }
}
