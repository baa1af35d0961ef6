/**
 * A steady load for minutes, beside handlers that fail, dead letters, requests, members that come and go, and on sqlite a process that
 * is killed: nothing may be lost, out of order, or grow. Ends in a line of figures for each driver; exit code 1 if anything was wrong.
 *
 * node test/soak/soak.ts [--minutes 10] [--rate 500] [--drivers memory,sqlite]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  bounded,
  type Child,
  type HistoryRecord,
  type Line,
  loud,
  progress,
  type Resources,
  spawnChild,
  until,
} from "../../src/testing/index.ts";
import { pause, type SoakInput, tail } from "./events.ts";
import { growth, mib, type Sample } from "./growth.ts";
import { Ledger } from "./ledger.ts";

export interface SoakOptions {
  readonly driver: SoakInput["driver"];
  readonly seconds: number;
  /** Events a second. */
  readonly rate: number;
  /** Told once a minute. @default nobody */
  readonly say?: ((line: string) => void) | undefined;
}

export interface Outcome {
  readonly violations: readonly string[];
  /** What it did and what it took, in one line. */
  readonly figures: string;
}

/** The share of the events that the process publishes which is killed. */
const victimShare = 0.2;
/** A bus is closed and connected again at each beat; letters are replayed, and a process is killed, at every second one. */
const longestBeatMs = 30_000;
const endMs = 90_000;
/** For a process to start, and to be given something. */
const victimMs = 30_000;

/** What the host says when all is closed. */
interface End {
  readonly before: Resources;
  readonly after: Resources;
  readonly complaints: readonly string[];
  readonly said: readonly string[];
  readonly replayed: number;
}

export async function soak({ driver, seconds, rate, say = () => undefined }: SoakOptions): Promise<Outcome> {
  const folder = await mkdtemp(join(tmpdir(), "omnibus-soak-"));
  try {
    const beatMs = Math.min(longestBeatMs, Math.max(1_000, (seconds * 1_000) / 20));
    // Room for 30 s of what nobody has handled, and little enough that the log is full early and drops what is handled.
    const maxMessages = Math.max(2_000, Math.round(Math.min(rate * 30, (rate * seconds) / 4)));
    return await new Soak({ driver, folder, beatMs, rate, maxMessages }, seconds, say).run();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

class Soak {
  readonly #input: SoakInput;
  readonly #seconds: number;
  readonly #say: (line: string) => void;
  readonly #ledger = new Ledger();
  readonly #problems: string[] = [];
  readonly #samples: Sample[] = [];
  readonly #backlog: number[] = [];
  /** Of each process: when it noted something for the last time, and how many of its handlers run. */
  readonly #lastAt = new Map<string, number>();
  readonly #running = new Map<string, number>();
  #ready = false;
  #end: End | undefined;

  constructor(input: SoakInput, seconds: number, say: (line: string) => void) {
    [this.#input, this.#seconds, this.#say] = [input, seconds, say];
  }

  async run(): Promise<Outcome> {
    const { driver, rate, beatMs } = this.#input;
    const from = performance.now();
    const shared = driver === "sqlite" ? rate * (1 - victimShare) : rate;
    const host = this.#start("host", "host.ts", { ...this.#input, rate: shared });
    try {
      await until(() => this.#ready || host.gone, "the host to be ready", endMs);
      const stop = performance.now() + this.#seconds * 1_000;
      const victims =
        driver === "sqlite"
          ? this.#victims(stop, host).catch((error: unknown) => void this.#problems.push(String(error)))
          : undefined;
      for (let minute = 1; performance.now() < stop && !host.gone;) {
        await pause(Math.max(0, Math.min(1_000, stop - performance.now())));
        this.#ledger.check(Math.max(20_000, 5 * beatMs));
        if (performance.now() - from < minute * 60_000) continue;
        this.#say(`${driver}, ${minute++} min: ${this.#figures()}`);
      }
      await victims;
      host.tell("stop");
      await until(
        () => this.#end !== undefined || host.gone,
        () => `${driver} to be drained: backlog ${this.#backlog.slice(-5).join(", ")}`,
        endMs,
      );
      const code = await host.end();
      if (code !== 0) this.#problems.push(`the host ended with ${code}`);
    } catch (error) {
      this.#problems.push(String(error));
    } finally {
      await host[Symbol.asyncDispose]();
    }
    this.#ledger.checkAll();
    const violations = [...this.#ledger.violations, ...this.#problems, ...this.#atEnd()].map(
      (what) => `${driver}: ${what}`,
    );
    return {
      violations,
      figures: `${driver}, ${Math.round((performance.now() - from) / 1_000)} s: ${this.#figures()}`,
    };
  }

  /** A process after another, each killed while it handles something; the last one may close. */
  async #victims(stop: number, host: Child): Promise<void> {
    const { beatMs, rate } = this.#input;
    for (let n = 0, last = false; !last && !host.gone; n++) {
      last = performance.now() + 3 * beatMs > stop && n > 0;
      const chapter = `v${n}`;
      const child = this.#start(chapter, "victim.ts", { ...this.#input, rate: rate * victimShare, chapter });
      await pause(Math.max(0, last ? stop - performance.now() : 2 * beatMs));
      if (last) {
        const code = await child.end();
        if (code !== 0) this.#problems.push(`${chapter} ended with ${code}`);
      } else {
        const busy = (): boolean => (this.#running.get(chapter) ?? 0) >= 2 || child.gone;
        await until(busy, `${chapter} to handle something`, victimMs);
        const before = Number(process.hrtime.bigint()) / 1e6;
        if (child.gone) this.#problems.push(`${chapter} ended by itself`);
        else await child.kill();
        this.#ledger.killed(chapter, Math.max(before, this.#lastAt.get(chapter) ?? 0));
      }
      this.#ledger.ended(chapter);
    }
  }

  #start(process: string, module: string, input: SoakInput): Child {
    const child: Child = spawnChild(new URL(module, import.meta.url), {
      input,
      onLine: (line) => {
        (child.lines as Line[]).length = 0; // they are in the ledger, as long as they are needed
        this.#lastAt.set(process, line.at);
        const begun =
          line["op"] === "handling" ? 1 : line["op"] === "handled" || line["op"] === "handler-failed" ? -1 : 0;
        if (line["group"] !== tail) this.#running.set(process, (this.#running.get(process) ?? 0) + begun);
        this.#take(process, line);
      },
    });
    return child;
  }

  #take(process: string, line: Line): void {
    const { op } = line;
    if (op === "sample") this.#samples.push(line["sample"] as Sample);
    else if (op === "backlog") this.#backlog.push(line["backlog"] as number);
    else if (op === "complaint") this.#problems.push(`${process}: ${String(line["message"])}`);
    else if (op === "chapter-ended") this.#ledger.ended(String(line["chapter"]));
    else if (op === "ended") this.#end = line as unknown as End;
    else if (op === "ready") this.#ready = true;
    else if (op !== "stopped") {
      // The host's two buses are two members; of a victim, which is killed, there is only one.
      const { bus } = line as { readonly bus?: string };
      const member = process === "host" && bus !== undefined ? bus : process;
      this.#ledger.add({ ...(line as unknown as HistoryRecord), process: member });
    }
  }

  #atEnd(): string[] {
    const { kills, totals } = this.#ledger;
    const { driver, rate } = this.#input;
    const found = [...growth(this.#samples, this.#seconds).violations, ...progress(this.#backlog, { polls: 20 })];
    if (this.#end === undefined) return [...found.map(({ message }) => message), "the host did not come to its end"];
    const { before, after, complaints, said, replayed } = this.#end;
    found.push(...bounded(before, after, Infinity), ...loud(said, ["handler-failed", "dead-lettered"], complaints));
    const problems = found.map(({ invariant, message }) => `${invariant} ${message}`);
    // What proves nothing has not passed.
    // A short run spends much of its time connecting.
    const least = rate * this.#seconds * (this.#seconds >= 60 ? 0.5 : 0.2);
    if (totals.acked < least) problems.push(`only ${totals.acked} events were published`);
    if (totals.retried === 0 || replayed < 1) problems.push(`${totals.retried} retries, ${replayed} letters replayed`);
    if (this.#samples.at(-1)?.answers === 0) problems.push("no request was answered");
    if (driver === "sqlite" && kills.valid === 0) problems.push("I12 no kill with anything in flight");
    return problems;
  }

  #figures(): string {
    const { acked, handled, retried, letters, repeated, refused, unknown } = this.#ledger.totals;
    const { valid, invalid } = this.#ledger.kills;
    const last = this.#samples.at(-1);
    return [
      `${acked} published and checked`,
      `${handled} handled`,
      `${repeated} again`,
      `${retried} retried`,
      `${letters} letters`,
      `${refused} refused and ${unknown} unknown while closing`,
      `${last?.answers ?? 0} answers`,
      `${valid} kills (${invalid} of nothing)`,
      this.#end === undefined
        ? `memory ${mib(last?.rssBytes ?? 0)} (held ${mib(last?.heldBytes ?? 0)})`
        : growth(this.#samples, this.#seconds).figures,
    ].join(", ");
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "10" },
      rate: { type: "string", default: "500" },
      drivers: { type: "string", default: "memory,sqlite" },
    },
  });
  const drivers = values.drivers.split(",").map((name) => {
    if (name !== "memory" && name !== "sqlite") throw new Error(`no driver ${name}`);
    return name;
  });
  const [seconds, rate] = [Number(values.minutes) * 60, Number(values.rate)];
  if (!(seconds > 0 && rate > 0)) throw new Error("minutes and rate are numbers above 0");
  const say = (line: string): void => console.error(line);
  const outcomes = await Promise.all(drivers.map((driver) => soak({ driver, seconds, rate, say })));
  const problems = outcomes.flatMap(({ violations }) => violations);
  for (const problem of problems.slice(0, 50)) console.error(problem);
  const result = problems.length === 0 ? "ok" : `${problems.length} violations`;
  console.log(`soak: ${result} (${outcomes.map(({ figures }) => figures).join("; ")})`);
  if (problems.length > 0) process.exitCode = 1;
}
