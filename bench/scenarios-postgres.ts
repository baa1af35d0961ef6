import { latencyAdded, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";

const shared = sharedScenarios("postgres");

/** Ours keeps each id for two minutes, and gives each event a place in one of the partitions; the bare side does neither. */
export const scenarios: readonly Scenario[] = [
  {
    name: "publish with acknowledgement",
    unit: "messages/s",
    better: "higher",
    ours: "publish.ts",
    bare: "postgres-publish.ts",
    settings: { messages: 100_000, window: 512 },
    budgets: [ratioOf(0.9)],
    about: "512 in flight; bare: an insert of 512 rows, one commit",
  },
  {
    ...shared.consume,
    budgets: [ratioOf(0.9)],
    about: "a backlog, by a new group, 256 at once; bare: a select of 256, with which the cursor moves",
  },
  {
    ...shared.consumeUnordered,
    budgets: [ratioOf(0.9)],
    about: "both sides hand out as it comes",
  },
  { ...shared.handle, about: "in one process; bare: both of the above at once, reading on a connection of its own" },
  { ...shared.handleUnordered, about: "as above, handed out as it comes on both sides" },
  {
    ...shared.latency,
    budgets: [latencyAdded(50)],
    about:
      "one each 2 ms, in one process; bare: an insert that notifies, and a listener on a connection of its own that selects",
  },
  {
    ...shared.request,
    settings: { messages: 5_000, window: 1 },
    budgets: [ratioOf(0.8)],
    about: "bare: `NOTIFY` each way, what waits together in one statement; CPU is the requester's",
  },
  { ...shared.requests, settings: { ...shared.requests.settings, messages: 20_000 }, budgets: [ratioOf(0.8)] },
  scaling,
  { ...shared.waiting, about: `${waitingAbout} selected at a time` },
];
