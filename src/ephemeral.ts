import type { Core } from "./core.ts";
import type { InMessage } from "./driver.ts";
import type { FanOut, Receiver } from "./fan-out.ts";
import type { BaseRunner } from "./handler-runner.ts";
import { Intake } from "./intake.ts";
import type { Outcomes } from "./outcomes.ts";
import { reportDead, reportFailed, reportHandled, reportRetried } from "./report.ts";
import { Work, type Runner } from "./work.ts";

/** A subscriber without a group: its own copy from now on, in a bounded buffer; a throw is retried here, then reported and gone. */
export class Ephemeral implements Receiver, Outcomes {
  readonly patterns: readonly string[];
  readonly answers = false;
  readonly runner: BaseRunner;
  readonly intake: Intake;
  readonly #core: Core;
  readonly #bufferSize: number;
  readonly #ordered: boolean;
  readonly #sources = new Set<FanOut>();
  #lost = 0;

  constructor(core: Core, runner: BaseRunner, options: { readonly ordered: boolean; readonly bufferSize: number }) {
    this.#core = core;
    this.runner = runner;
    this.patterns = runner.patterns;
    this.#bufferSize = options.bufferSize;
    this.#ordered = options.ordered;
    this.intake = new Intake(core, this, options.ordered, undefined, runner);
    runner.resized = () => this.intake.resized();
  }

  get sources(): ReadonlySet<FanOut> {
    return this.#sources;
  }

  async listen(source: FanOut): Promise<void> {
    this.#sources.add(source); // before: who ends meanwhile leaves it too
    try {
      await source.add(this);
    } catch (error) {
      this.#sources.delete(source);
      throw error;
    }
  }

  /** Of a source that is no more. */
  leave(source: FanOut): void {
    this.#sources.delete(source);
  }

  /** Takes no more; resolves when no handler runs. */
  async stop(): Promise<void> {
    await Promise.all([this.intake.stop(), ...[...this.#sources].map((source) => source.remove(this))]);
    this.#sources.clear();
  }

  cutOff(reason: unknown): number {
    const { running } = this.runner;
    this.runner.abortAll(reason);
    return running;
  }

  take(message: InMessage): void {
    this.#core.counters.delivered += 1;
    if (this.intake.size >= this.#bufferSize) {
      this.#lost += 1;
      if (!this.intake.evict()) return;
    }
    this.intake.take(new Work(message, this.intake, this.#ordered ? message.key : undefined, true));
  }

  taken(): void {
    this.intake.pump();
    if (this.#lost === 0) return;
    const reason = `the subscriber "${this.runner.name}" is too slow: its buffer of ${this.#bufferSize} is full`;
    this.#core.board.say({ type: "messages-lost", stream: this.runner.name, count: this.#lost, reason });
    this.#core.board.log("error", "messages lost", { handler: this.runner.name, count: this.#lost, reason });
    this.#lost = 0;
  }

  takes(): boolean {
    return false;
  }

  handled(work: Work): void {
    reportHandled(this.#core, work);
    this.intake.leave(work);
  }

  again(work: Work, attempts: number, delayMs: number): void {
    reportRetried(this.#core, work, undefined, delayMs);
    work.attempts = attempts;
    this.intake.park(work, delayMs);
  }

  unhandled(work: Work): void {
    this.intake.leave(work); // its topic matched a pattern, its type is none of this subscriber's
  }

  back(work: Work): void {
    this.intake.leave(work);
  }

  dead(work: Work, error: unknown): void {
    reportDead(this.#core, work, undefined, error);
    this.intake.leave(work);
  }

  dropped(): void {
    // failed() has said it
  }

  failed(work: Work, runner: Runner, error: unknown): void {
    reportFailed(this.#core, work, undefined, runner, error);
  }

  note(): Promise<"done"> {
    return Promise.resolve("done");
  }

  load(): void {
    // no window: the buffer is bounded
  }

  gone(): void {
    // nothing is kept beside it
  }
}
