import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bus, connect } from "../../src/index.ts";
import { type Application, startInProcess, startProcess } from "./application.ts";
import { busConfig, inProcess, type Target } from "./bus-config.ts";
import { check, type Published } from "./check.ts";
import { replayDeadLetters } from "./dead-letters.ts";
import { injectFault } from "./fault.ts";
import { groupNames } from "./groups.ts";
import { JournalReader } from "./journal.ts";
import type { DemoOptions } from "./options.ts";
import { Progress } from "./progress.ts";
import { publishAll } from "./publisher.ts";
import { groupLine, perSecond, seconds, step, whole } from "./report.ts";
import type { Screen } from "./screen.ts";

/** True when every event was handled by every group, in order per repository. */
export async function runDemo(options: DemoOptions, screen: Screen): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), "omnibus-demo-"));
  const url = options.url ?? `sqlite:${join(directory, "bus.db")}`;
  const prefix = options.url === undefined ? "omnibus" : `demo_${Math.random().toString(36).slice(2, 8)}`;
  const run = new Demo(options, { url, prefix, events: options.events }, directory, screen);
  process.once("SIGINT", () => void run.interrupt());
  let proven = false;
  try {
    proven = await run.run();
  } finally {
    await run.close();
    if (run.began && (options.keep || !proven)) step(screen, "kept", directory);
    else rmSync(directory, { recursive: true, force: true });
  }
  return proven;
}

class Demo {
  readonly #options: DemoOptions;
  readonly #target: Target;
  readonly #directory: string;
  readonly #screen: Screen;
  readonly #journals: JournalReader;
  readonly #progress: Progress;
  #bus: Bus | undefined;
  #application: Application | undefined;
  #workers = 0;
  /** Closing: whatever still waits or starts in the background ends. */
  #over = false;

  constructor(options: DemoOptions, target: Target, directory: string, screen: Screen) {
    this.#options = options;
    this.#target = target;
    this.#directory = directory;
    this.#screen = screen;
    this.#journals = new JournalReader(directory);
    const total = options.events * groupNames.length;
    this.#progress = new Progress(this.#journals, (settled) => screen.bar("handling    ", settled, total));
  }

  /** There is something to look at. */
  get began(): boolean {
    return this.#bus !== undefined;
  }

  async run(): Promise<boolean> {
    const { events, repositories } = this.#options;
    const screen = this.#screen;
    const bus = await connect(busConfig(this.#target, "demo"));
    this.#bus = bus;
    screen.line(
      `${whole(events)} GitHub webhooks, ${whole(repositories)} repositories, ${groupNames.length} groups, over ${bus.driver?.name}`,
    );
    screen.line();
    const started = performance.now();
    this.#application = await this.#start();
    const [{ published, ms }] = await Promise.all([publishAll(bus, this.#options, () => {}), this.#killHalfWay()]);
    step(screen, "published", `${whole(published.length)} in ${seconds(ms)}, ${perSecond(published.length, ms)}`);

    const done = await this.#until(() => this.#progress.count === published.length * groupNames.length);
    const handledMs = performance.now() - started;
    const runs = this.#progress.entries.length;
    step(screen, "handled", `${whole(runs)} times in ${seconds(handledMs)}, ${perSecond(runs, handledMs)}`);
    const replayed = done && (await this.#replay(bus));
    await this.#application.stop();
    this.#progress.read();
    screen.line();
    return this.#prove(published) && replayed;
  }

  async interrupt(): Promise<void> {
    this.#screen.line("interrupted");
    await this.close();
    rmSync(this.#directory, { recursive: true, force: true });
    process.exit(130);
  }

  async close(): Promise<void> {
    this.#over = true;
    await this.#application?.stop();
    this.#journals.close();
    if (this.#bus?.state === "connected" && this.#options.url !== undefined && !this.#options.keep)
      await this.#clearUp(this.#bus);
    await this.#bus?.close();
  }

  /** On a bus that stays, what this run has made there is taken away. */
  async #clearUp(bus: Bus): Promise<void> {
    for (const group of groupNames) await bus.groups.delete(group);
    await bus.streams.delete("github");
  }

  #start(): Promise<Application> {
    this.#workers += 1;
    const settings = { ...this.#target, directory: this.#directory, worker: this.#workers, seed: this.#options.seed };
    // A bus in memory ends at the border of its process.
    return inProcess(this.#target.url) ? startInProcess(settings) : startProcess(settings);
  }

  #until(done: () => boolean | Promise<boolean>, everyMs?: number): Promise<boolean> {
    return this.#progress.until(
      async () => this.#over || (await done()),
      () => this.#application,
      everyMs,
    );
  }

  async #killHalfWay(): Promise<void> {
    const worker = this.#application;
    if (worker?.pid === undefined) {
      step(this.#screen, "worker", "in this process, since memory ends at its border: the kill is skipped");
      return;
    }
    const total = this.#options.events * groupNames.length;
    if (!(await this.#until(() => this.#progress.count >= total / 2, 2)) || this.#over) return;
    await worker.kill();
    this.#progress.read();
    const settled = this.#progress.count;
    const killed = performance.now();
    this.#application = await this.#start();
    if (this.#over) return this.#application.stop();
    const next = `worker ${this.#workers} was ready after ${seconds(performance.now() - killed)}`;
    step(this.#screen, "killed", `worker 1 by SIGKILL, ${whole(settled)} of ${whole(total)} handled; ${next}`);
    if (settled >= total) step(this.#screen, "", "too late to mean anything: take more --events");
  }

  async #replay(bus: Bus): Promise<boolean> {
    const done = await replayDeadLetters(bus, this.#progress, this.#screen, {
      until: (done) => this.#until(done),
      fix: async () => this.#application?.fix(),
    });
    if (!done) step(this.#screen, "replay", this.#screen.style("red", "did not do what it should"));
    return done;
  }

  #prove(published: readonly Published[]): boolean {
    const screen = this.#screen;
    const entries = injectFault(this.#progress.entries);
    let proven = published.length === this.#options.events;
    const failure = this.#application?.failure();
    if (failure !== undefined) step(screen, "worker", screen.style("red", failure));
    for (const group of groupNames) {
      const findings = check(
        published,
        entries.filter((entry) => entry.group === group),
      );
      groupLine(screen, group, published.length, findings);
      proven &&= findings.problems.length === 0;
    }
    screen.line();
    screen.line(
      proven && failure === undefined
        ? screen.style("green", "Every event was handled by every group, in order per repository.")
        : screen.style("red", "Something is missing or out of order."),
    );
    return proven && failure === undefined;
  }
}
