import { cpuTimes, latencyAdded, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";

const publish = {
  unit: "messages/s",
  better: "higher",
  ours: "publish.ts",
  settings: { messages: 100_000, window: 512 },
} as const;

const shared = sharedScenarios("nats");

/** Streams in files on one server, an id in each message by which the server knows a second one, on both sides. */
export const scenarios: readonly Scenario[] = [
  {
    ...publish,
    name: "publish with acknowledgement",
    bare: "nats-publish.ts",
    budgets: [ratioOf(0.9)],
    reference: 199_500,
    about: "512 in flight; bare: the client's `publish`, the acknowledgements of all to one inbox",
  },
  {
    ...publish,
    name: "publish vs js.publish",
    bare: "nats-js-publish.ts",
    budgets: [ratioOf(3.5), cpuTimes(4)],
    reference: 35_700,
    rounds: 3,
    about: "512 in flight; bare: the client's own way, `js.publish` with `msgID`",
  },
  {
    ...shared.consume,
    budgets: [ratioOf(0.9)],
    reference: 195_000,
    about: "a backlog, by a new group, 256 at once; bare: `consume` with a callback, 512 ahead as ours",
  },
  {
    ...shared.consumeUnordered,
    budgets: [ratioOf(0.9)],
    about: "both sides hand out as it comes: above, ours keeps the order of each key, by a consumer for each partition",
  },
  { ...shared.handle, about: "in one process over one connection; bare: both of the above at once" },
  { ...shared.handleUnordered, about: "as above, handed out as it comes on both sides" },
  {
    ...shared.latency,
    budgets: [latencyAdded(50)],
    about: "one each 2 ms, in one process; bare: an acknowledged publish and `consume` with a callback",
  },
  {
    ...shared.request,
    settings: { messages: 10_000, window: 1 },
    budgets: [ratioOf(0.8)],
    reference: 39_500,
    about: "bare: the client's `request`; CPU is the requester's",
  },
  { ...shared.requests, budgets: [ratioOf(0.8)] },
  scaling,
  { ...shared.waiting, about: `${waitingAbout} fetched at a time` },
];
