import { latencyAdded, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";

const shared = sharedScenarios("kafka");

/** One broker, acks of all, idempotent producers on both sides. Ours writes to as many partitions as the stream has, the bare side to one. */
export const scenarios: readonly Scenario[] = [
  {
    name: "publish with acknowledgement",
    unit: "messages/s",
    better: "higher",
    ours: "publish.ts",
    bare: "kafka-publish.ts",
    settings: { messages: 100_000, window: 256 },
    budgets: [ratioOf(0.9)],
    about: "256 in flight; bare: `send` of 256, one in flight",
  },
  {
    ...shared.consume,
    budgets: [ratioOf(0.9)],
    about: "a backlog, by a new group, 256 at once; bare: the client's stream, a commit each 256",
  },
  {
    ...shared.consumeUnordered,
    budgets: [ratioOf(0.9)],
    about: "both sides hand out as it comes",
  },
  { ...shared.handle, about: "in one process; bare: both of the above at once" },
  { ...shared.handleUnordered, about: "as above, handed out as it comes on both sides" },
  {
    ...shared.latency,
    budgets: [latencyAdded(50)],
    about: "one each 2 ms, in one process; bare: `send` of one, and the client's stream, a commit each",
  },
  {
    ...shared.request,
    settings: { messages: 1_000, window: 1 },
    budgets: [ratioOf(0.8)],
    about: "bare: a topic each way, what waits goes together; CPU is the requester's",
  },
  { ...shared.requests, settings: { ...shared.requests.settings, messages: 20_000 }, budgets: [ratioOf(0.8)] },
  scaling,
  { ...shared.waiting, about: `${waitingAbout} from the stream of the client at a time` },
];
