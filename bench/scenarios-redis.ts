import { latencyAdded, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";

const shared = sharedScenarios("redis");

/** Ours remembers each id for two minutes and writes to one of 16 streams by its key; the bare side does neither. */
export const scenarios: readonly Scenario[] = [
  {
    name: "publish with acknowledgement",
    unit: "messages/s",
    better: "higher",
    ours: "publish.ts",
    bare: "redis-publish.ts",
    settings: { messages: 100_000, window: 512 },
    budgets: [ratioOf(0.9)],
    reference: 164_000,
    about: "512 in flight; bare: `XADD`, pipelined by the client, which knows no second one by its id",
  },
  {
    ...shared.consume,
    budgets: [ratioOf(0.9)],
    reference: 159_000,
    about: "a backlog, by a new group, 256 at once; bare: `XREADGROUP` of 256, then one `XACK` beside the next read",
  },
  {
    ...shared.consumeUnordered,
    budgets: [ratioOf(0.9)],
    about:
      "both sides hand out as it comes: above, ours keeps the order of each key, and reads a stream for each partition",
  },
  { ...shared.handle, about: "in one process; bare: both of the above at once, reading on a connection of its own" },
  { ...shared.handleUnordered, about: "as above, handed out as it comes on both sides" },
  {
    ...shared.latency,
    budgets: [latencyAdded(50)],
    about: "one each 2 ms, in one process; bare: `XADD` and a blocked `XREADGROUP` on a connection of its own",
  },
  {
    ...shared.request,
    settings: { messages: 5_000, window: 1 },
    budgets: [ratioOf(0.8)],
    about: "bare: a channel each way (`PUBLISH`, `SUBSCRIBE`), since Redis has no requests; CPU is the requester's",
  },
  { ...shared.requests, budgets: [ratioOf(0.8)] },
  scaling,
  { ...shared.waiting, about: `${waitingAbout} read at a time` },
];
