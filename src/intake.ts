import type { Core } from "./core.ts";
import { BusError } from "./errors.ts";
import { Bag } from "./internal/bag.ts";
import { Fifo } from "./internal/fifo.ts";
import { TopicTrie } from "./internal/topic-trie.ts";
import { noteFailure, readHistory, readNames } from "./message-history.ts";
import { OrderGate } from "./order-gate.ts";
import { decideOutcome, type Outcomes } from "./outcomes.ts";
import { open } from "./receiving.ts";
import type { Standstill } from "./standstill.ts";
import { Suspects } from "./suspects.ts";
import { header } from "./wire-names.ts";
import { giveViews } from "./views.ts";
import { handBack, type Runner, type Work, type WorkOwner } from "./work.ts";

const noteAgainMs = 1_000;
/** Behind keys that are merely busy; each of them would be a suspect after a crash. */
const lookAhead = 1_000;

/**
 * From a delivered message to the end of its handlers: one of a key at a time, suspects alone, no more at once than the handlers
 * have room for, one verdict for all of them. What the verdict means at the broker is the owner's.
 */
export class Intake implements WorkOwner {
  readonly #core: Core;
  readonly #outcomes: Outcomes;
  readonly #runners = new TopicTrie<Runner>();
  readonly #only: readonly Runner[] | undefined;
  readonly #all = new Set<Runner>();
  readonly #gate = new OrderGate<Work>();
  readonly #suspects = new Suspects<Work>();
  /** Suspects whose handler is paused: they wait beside the others. */
  readonly #shelved = new Set<Work>();
  readonly #ready = new Fifo<Work>();
  readonly #works = new Bag<Work>();
  readonly #ordered: boolean;
  #running = 0;
  #parked = 0;
  #capacity = 0;
  #stopped = false;
  #pumping = false;
  readonly #standstill: Standstill | undefined;
  readonly #again = (): void => this.pump();

  /**
   * `standstill`: asked before each beginning; undefined where nobody else can take what is here. `only`: everything that comes is
   * for this one, whose patterns were matched before.
   */
  constructor(core: Core, outcomes: Outcomes, ordered: boolean, standstill?: Standstill, only?: Runner) {
    this.#core = core;
    this.#outcomes = outcomes;
    this.#ordered = ordered;
    this.#standstill = standstill;
    if (only === undefined) return;
    this.#only = [only];
    this.#all.add(only);
    this.#capacity = only.capacity;
  }

  /** Everything that is here, in any order. */
  get works(): readonly Work[] {
    return this.#works.all();
  }
  get size(): number {
    return this.#works.size;
  }
  /** Delivered, and unable to start for now: others are to be fetched beside it. */
  get parked(): number {
    // Beside suspects nothing fresh starts: what was fetched now would be the next crash's suspects.
    if (this.#suspects.blocking) return 0;
    const { waiting, stuck } = this.#gate;
    const { stalled } = this;
    // Behind a handler that is paused as behind a key that waits: it must not stop the others.
    return this.#parked + stalled + (stalled > 0 ? waiting : stuck + Math.min(waiting - stuck, lookAhead));
  }

  add(runner: Runner): void {
    this.#all.add(runner);
    for (const pattern of runner.patterns) this.#runners.add(pattern, runner);
    this.resized();
  }

  remove(runner: Runner): void {
    this.#all.delete(runner);
    for (const pattern of runner.patterns) this.#runners.remove(pattern, runner);
    this.resized();
  }

  /** A runner's capacity changed. */
  resized(): void {
    this.#capacity = 0;
    for (const runner of this.#all) this.#capacity += runner.capacity;
    for (const work of this.#shelved) this.#unshelve(work);
    this.pump();
  }

  /** Takes it in; `pump` starts it. */
  take(work: Work): void {
    this.#works.add(work);
    if (this.#ordered && work.key !== undefined) work.gate = this.#gate.at(work.key);
    if (work.gate === undefined || this.#gate.enter(work.gate, work)) this.#admit(work);
    else work.state = "gated";
  }

  pump(): void {
    if (this.#stopped || this.#pumping) return;
    this.#pumping = true; // a handler that ends at once comes back here: the loop goes on, not deeper
    try {
      while (this.#hasRoom) {
        if (!this.#suspects.blocking && this.#ready.length === 0) break;
        if (this.#standstill?.holds(this.#again) === true) break;
        const suspect = this.#suspects.take(); // looked for each time: one may come while a handler ends at once
        if (suspect !== undefined) {
          if (this.#isPaused(suspect)) this.#shelve(suspect);
          else void this.#runSuspect(suspect);
        } else if (!this.#suspects.blocking && this.#ready.length > 0) this.#start(this.#ready.shift()!);
        else break;
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** What waits for a handler that is paused takes nobody else's room. */
  get #hasRoom(): boolean {
    return this.#running - this.stalled < this.#capacity;
  }
  /** How many wait for a handler that is paused. */
  get stalled(): number {
    if (this.#running === 0) return 0;
    let stalled = 0;
    for (const runner of this.#all) stalled += runner.stalled;
    return stalled;
  }

  /** Waits `delayMs`, in its place, then goes on as if it had just come. */
  park(work: Work, delayMs: number): void {
    if (work.revoked || this.#stopped) return this.leave(work); // stopped: the consumption's close hands it back
    work.state = "parked";
    this.#park(work, 1);
    work.timer = this.#core.wheel.set(delayMs, () => {
      this.#park(work, -1);
      work.timer = undefined;
      const go = (): void => {
        if (work.revoked) return this.leave(work);
        this.#admit(work);
        this.pump();
      };
      if (work.lingering > 0) work.whenQuiet = go;
      else go();
      this.#outcomes.load();
    });
    this.#outcomes.load();
  }

  #isPaused(work: Work): boolean {
    return (this.#only ?? this.#runners.match(work.message.topic)).some((runner) => runner.paused);
  }

  #shelve(work: Work): void {
    this.#suspects.done(work);
    work.state = "parked";
    this.#shelved.add(work);
    this.#park(work, 1);
    this.#outcomes.load();
  }

  #unshelve(work: Work): void {
    this.#shelved.delete(work);
    this.#park(work, -1);
    this.#admit(work);
  }

  #park(work: Work, change: 1 | -1): void {
    this.#parked += change;
    if (work.gate !== undefined) this.#gate.park(work.gate, change === 1);
  }

  /** It is no longer here; the next of its key goes on, once no run of it lingers. */
  leave(work: Work): void {
    if (work.state === "gone") return;
    work.state = "gone";
    this.#works.delete(work);
    const { suspect } = work;
    if (suspect) this.#suspects.done(work);
    if (this.#shelved.delete(work)) this.#park(work, -1);
    if (work.timer !== undefined) {
      work.timer.cancel();
      work.timer = undefined;
      this.#park(work, -1);
    }
    this.#outcomes.gone(work);
    if (work.lingering > 0) work.whenQuiet = () => this.#free(work);
    else this.#free(work);
    if (suspect) this.#outcomes.load();
  }

  quiet(): void {
    this.pump();
  }

  /** Drops the oldest that waits for room; false when there is none. */
  evict(): boolean {
    const oldest = this.#ready.shift();
    if (oldest !== undefined) this.leave(oldest);
    return oldest !== undefined;
  }

  /** Aborts what runs of these, forgets what waits. */
  revoke(unwanted: (work: Work) => boolean, reason: unknown): number {
    const revoked = this.#works.all().filter((work) => !work.revoked && unwanted(work));
    for (const work of revoked) work.revoked = true;
    this.#gate.remove((work) => work.revoked);
    this.#ready.remove((work) => work.revoked);
    for (const work of revoked) {
      if (work.state === "running") for (const runner of work.runners) runner.abort(work, reason);
      else if (work.state === "gated") {
        work.state = "gone";
        this.#works.delete(work);
        this.#outcomes.gone(work);
      } else this.leave(work); // what is being settled too: the answer may never come
    }
    this.pump();
    this.#outcomes.load();
    return revoked.length;
  }

  /** Nothing starts any more; resolves when nothing runs. */
  stop(): Promise<void> {
    this.#stopped = true;
    for (const runner of this.#all) runner.giveBack();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#checkIdle();
    });
  }

  readonly #idle: (() => void)[] = [];

  #checkIdle(): void {
    if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  finished(work: Work): void {
    this.#running -= 1;
    const { suspect } = work;
    if (suspect) {
      this.#suspects.done(work);
      work.suspect = false; // it ran, and this process is still here
    }
    if (work.revoked) this.leave(work);
    else if (work.failures === undefined && !work.handedBack && work.givenUp === undefined) {
      work.state = "settling";
      this.#outcomes.handled(work);
    } else {
      work.state = "settling";
      decideOutcome(work, this.#outcomes, this.#core.clock);
    }
    if (this.#stopped) this.#checkIdle();
    this.pump();
    if (suspect) this.#outcomes.load();
  }

  #free(work: Work): void {
    const next = work.gate === undefined ? undefined : this.#gate.leave(work.gate);
    if (next !== undefined) {
      this.#admit(next);
      this.#outcomes.load();
    }
    this.pump();
  }

  /** What the owner had taken goes on here. */
  resume(work: Work): void {
    if (work.state === "gone") return;
    if (work.revoked || this.#stopped) return this.leave(work);
    this.#admit(work);
    this.pump();
  }

  #admit(work: Work): void {
    if (this.#outcomes.takes(work)) {
      work.state = "settling";
      return;
    }
    const wait =
      work.message.notBefore === undefined || work.attempts > work.message.attempts
        ? 0
        : work.message.notBefore - this.#core.clock.now();
    if (wait > 0) this.park(work, wait);
    else if (work.suspect) {
      work.state = "suspect";
      this.#suspects.add(work);
    } else {
      work.state = "ready";
      this.#ready.push(work);
    }
  }

  #start(work: Work): void {
    this.#running += 1;
    work.state = "running";
    const prepared = this.#prepare(work);
    if (prepared === true) this.#run(work);
    else if (prepared !== false) void prepared.then((ready) => ready && this.#runLater(work));
  }

  /** Behind what was waited for. */
  #runLater(work: Work): void {
    if (this.#standstill?.holds(() => this.#runLater(work)) !== true) this.#run(work);
  }

  #run(work: Work): void {
    if (work.revoked || this.#stopped) return void this.#unstart(work, () => this.leave(work));
    const { runners, events } = work;
    work.begin();
    for (let index = 0; index < runners.length; index += 1) {
      const runner = runners[index]!;
      if (this.#all.has(runner)) runner.start(work, events === undefined ? work.event! : events[index]!);
      else work.ended(runner, handBack); // it left while the schema answered, or the note was written
    }
  }

  /** Prepared first, so that what is dead already never runs; then noted, so that a crash in it counts. */
  async #runSuspect(work: Work): Promise<void> {
    this.#running += 1;
    work.state = "running";
    if (!(await this.#prepare(work))) return;
    const { runners } = work;
    const limit = Math.max(...runners.map((runner) => work.envelope?.maxAttempts ?? runner.retry.maxAttempts));
    if (work.attempts >= limit) {
      for (const runner of runners) (work.givenUp ??= new Set()).add(runner.name);
      const error = new BusError("BUS_HANDLER", `the process ended while it was being handled, ${work.attempts} times`);
      noteFailure(work, error, this.#core.clock.now());
      return void this.#unstart(work, () => this.#outcomes.dead(work, error));
    }
    const noted = await this.#outcomes.note(work, work.attempts + 1);
    if (noted === "unknown" && !work.revoked) return void this.#unstart(work, () => this.park(work, noteAgainMs));
    if (noted === "stale" || work.revoked) {
      work.revoked = true;
      return void this.#unstart(work, () => this.leave(work));
    }
    this.#runLater(work);
  }

  /** Gives the work the handlers that run and what they get; false when it ended here. */
  #prepare(work: Work): boolean | Promise<boolean> {
    const { message } = work;
    try {
      work.envelope ??= open(this.#core, message);
    } catch (error) {
      return this.#unstart(work, () => this.#outcomes.dead(work, error));
    }
    const envelope = work.envelope;
    if (
      message.attempts > 0 ||
      message.lane === "queue" ||
      work.attempts > 0 ||
      message.deliveries > 1 ||
      message.note(header.hops) !== undefined ||
      message.note(header.handlersDone) !== undefined
    )
      readHistory(work);
    const matching = this.#only ?? this.#runners.match(message.topic);
    let runners: readonly Runner[] = matching;
    let newer = false;
    let no = 0;
    for (const runner of matching) {
      const answer = runner.accepts(envelope);
      if (answer === "newer") newer = true;
      else if (answer === "no") no += 1;
    }
    if (no > 0) runners = no === matching.length ? [] : matching.filter((runner) => runner.accepts(envelope) === "yes");
    if (newer || runners.length === 0) {
      const why = newer
        ? `version ${envelope.version} of "${envelope.type}" is newer than the one known here`
        : `no handler here takes "${envelope.type}" on this topic`;
      return this.#handOn(work, why);
    }
    const only = message.lane === "queue" ? readNames(message.header(header.handlersOnly)) : undefined;
    if (only !== undefined || work.done !== undefined || work.givenUp !== undefined) {
      const wanted = only === undefined ? runners : runners.filter((runner) => only.has(runner.name));
      const left = (wanted.length === 0 ? runners : wanted).filter(
        (runner) => work.done?.has(runner.name) !== true && work.givenUp?.has(runner.name) !== true,
      );
      // It came back because one failed that is neither done nor given up, so that one is elsewhere.
      if (left.length === 0) return this.#handOn(work, "the handlers that it still waits for are not here");
      runners = left;
    }
    return giveViews(work, runners, (error) =>
      this.#unstart(work, () => {
        for (const runner of runners) (work.givenUp ??= new Set()).add(runner.name);
        this.#outcomes.dead(work, error);
      }),
    );
  }

  #handOn(work: Work, why: string): false {
    const handOnMs = Math.min(...[...this.#all].map((runner) => runner.handOnMs));
    return this.#unstart(work, () => this.#outcomes.unhandled(work, why, handOnMs));
  }

  /** It was counted as running, but no handler ran. */
  #unstart(work: Work, instead: () => void): false {
    this.#running -= 1;
    const { suspect } = work;
    if (suspect) this.#suspects.done(work);
    work.state = "settling";
    if (work.revoked) this.leave(work);
    else instead();
    if (this.#stopped) this.#checkIdle();
    this.pump();
    if (suspect) this.#outcomes.load();
    return false;
  }
}
