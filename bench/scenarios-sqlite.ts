import { atLeast, latencyAdded, latencyBelow, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";
import { slowDisk } from "./slow-disk.ts";

const publish = {
  unit: "messages/s",
  better: "higher",
  ours: "publish.ts",
  bare: "sqlite-publish.ts",
} as const;

const shared = sharedScenarios("sqlite");

/**
 * Every receipt means an fdatasync on both sides: WAL, synchronous=FULL, one transaction for a window. What only settles
 * commits with synchronous=NORMAL on both. SQLite has no client that asks and answers, so the bare side of a request is there
 * for scale.
 */
export const scenarios: readonly Scenario[] = [
  {
    ...publish,
    name: "publish, durable",
    settings: { messages: 100_000, window: 1_024 },
    budgets: [atLeast(100_000), ratioOf(0.6)],
    about: "bare: node:sqlite inserts of the same bytes, a transaction for each window",
  },
  {
    ...shared.consume,
    budgets: [atLeast(50_000), ratioOf(0.6)],
    about:
      "a backlog, by a new group; bare: a window read, parsed, handled one by one, the cursor committed; on both sides " +
      "settlements commit with synchronous=NORMAL and are synced at most 100 ms later",
  },
  {
    ...shared.handle,
    settings: { messages: 100_000, window: 1_024 },
    about: "in one process; bare: both of the above in turn, where each window's publish syncs the cursor before it",
  },
  {
    name: "latency, publish to handler, idle",
    unit: "µs (p50)",
    better: "lower",
    ours: "latency.ts",
    bare: "sqlite-latency.ts",
    settings: { messages: 100, window: 1, idleMs: 10 },
    rounds: 10,
    budgets: [latencyBelow(2), latencyAdded(50)],
    about:
      "one each 10 ms, in one process; bare: insert, commit, read back, handle, move the cursor with synchronous=NORMAL",
  },
  {
    ...shared.latency,
    budgets: [],
    about: "one each 2 ms; bare: as above",
  },
  {
    ...shared.request,
    settings: { messages: 200, window: 1 },
    budgets: [atLeast(30)],
    about: "bare: a table each way in an unsynced file, fs.watch as the wake-up; CPU is the requester's",
  },
  {
    ...shared.requests,
    settings: { messages: 10_000, window: 64 },
    budgets: [atLeast(2_000)],
  },
  scaling,
  { ...shared.waiting, about: `${waitingAbout} read at a time` },
  ...(slowDisk === undefined
    ? []
    : [
        {
          ...publish,
          name: "publish, durable, on a disk with 2 ms more",
          settings: { messages: 50_000, window: 1_024 },
          rounds: 3,
          budgets: [],
          about: "strace delays each fdatasync by 2 ms on both sides",
          wrapper: slowDisk,
        },
      ]),
];
