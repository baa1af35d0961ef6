import { bounded, type Resources, type Violation } from "../../src/testing/index.ts";

/** What the host holds, and how fast it was in the last second. */
export interface Sample extends Resources {
  /** After the last collection of garbage, which the host asks for every 10 s: objects and buffers that something refers to. */
  readonly heldBytes: number;
  readonly fileBytes: number;
  /** From publish to handled. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How long the event loop stood still at most. */
  readonly loopMs: number;
  /** The oldest promise that is not settled. */
  readonly pendingMs: number;
  readonly pending: string;
  readonly backlog: number;
  readonly published: number;
  readonly answers: number;
}

const mebibyte = 2 ** 20;
/** In less than this nothing has settled yet that could be compared. */
const leastSeconds = 60;
/**
 * Between the two quarters that are compared lies half of the run: 150,000 events in 10 minutes at 500/s. A leak of 60 bytes for each
 * is above the limit of what is held, of 250 bytes above that of resident memory, whose pages V8 gives back only roughly. A
 * run of less than five minutes compares quarters in which code is still being compiled and the ids of the last minutes gather.
 */
const rssLimit = (seconds: number): number => (seconds >= 300 ? 32 : 96) * mebibyte;
const heldLimit = (seconds: number): number => (seconds >= 300 ? 8 : 64) * mebibyte;
/** The ids of the last 120 to 240 s stay in the file, and the write-ahead log is up to 4 MiB, twice. */
const fileLimit = (bytes: number, seconds: number): number => bytes * (seconds >= 300 ? 1.25 : 3) + 8 * mebibyte;
/** What grows steadily is more than twice as much in the last quarter; the rest is for the neighbours on the same cores. */
const latencyLimit = (ms: number): number => ms * 2 + 50;
/** Half a lease: longer, and others would take over what this process holds. */
const loopLimitMs = 5_000;
/** A chapter is checked five beats after its end: what takes longer would be counted as lost there. */
const pendingLimitMs = 30_000;

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
export const mib = (bytes: number): string => `${Math.round(bytes / mebibyte)} MiB`;

export interface Growth {
  readonly violations: readonly Violation[];
  readonly figures: string;
}

/** Compares the last quarter with the second: the first is for warming up. */
export function growth(samples: readonly Sample[], seconds: number): Growth {
  const quarter = samples.length / 4;
  const [second, last] = [samples.slice(quarter, 2 * quarter), samples.slice(3 * quarter)];
  const both = (of: (sample: Sample) => number): [number, number] => [median(second.map(of)), median(last.map(of))];
  const least = (of: Sample[], name: "files" | "listeners"): number => Math.min(...of.map((sample) => sample[name]));
  const most = (of: (sample: Sample) => number): number => Math.max(0, ...samples.map(of));
  const [rss, file, p50] = [both((s) => s.rssBytes), both((s) => s.fileBytes), both((s) => s.p50Ms)];
  const live = both((s) => s.heldBytes);
  const p99 = both((s) => s.p99Ms);
  // Timers of handlers that run are handles: those are compared when all is closed.
  const held = (of: Sample[], rssBytes: number): Resources => {
    return { rssBytes, handles: 0, files: least(of, "files"), listeners: least(of, "listeners") };
  };
  const steady = seconds >= leastSeconds;
  const violations = steady ? bounded(held(second, rss[0]), held(last, rss[1]), rssLimit(seconds)) : [];
  const say = (wrong: boolean, message: string): void => {
    if (wrong) violations.push({ invariant: "I10", message, ids: [] });
  };
  const allowed = heldLimit(seconds);
  say(steady && live[1] - live[0] > allowed, `what is held grew from ${mib(live[0])} to ${mib(live[1])}`);
  say(steady && file[1] > fileLimit(file[0], seconds), `the files grew from ${mib(file[0])} to ${mib(file[1])}`);
  say(steady && p50[1] > latencyLimit(p50[0]), `latency grew from ${Math.round(p50[0])} to ${Math.round(p50[1])} ms`);
  const loop = most((s) => s.loopMs);
  say(loop > loopLimitMs, `the event loop stood still for ${Math.round(loop)} ms`);
  const pending = samples.find((sample) => sample.pendingMs > pendingLimitMs);
  say(pending !== undefined, `${pending?.pending} was not settled within ${pendingLimitMs} ms`);
  const round = (pair: readonly number[]): string => pair.map((value) => value.toFixed(1)).join(" → ");
  const figures = [
    `memory ${mib(rss[0])} → ${mib(rss[1])} (held ${mib(live[0])} → ${mib(live[1])})`,
    ...(file[1] > 0 ? [`files ${mib(file[0])} → ${mib(file[1])}`] : []),
    `latency p50 ${round(p50)} ms, p99 ${round(p99)} ms`,
    `loop at most ${Math.round(loop)} ms`,
    `backlog at most ${most((s) => s.backlog)}`,
  ].join(", ");
  return { violations, figures };
}
