import { latencyAdded, ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";
import { scaling } from "./scenarios-scaling.ts";
import { sharedScenarios, waitingAbout } from "./scenarios-shared.ts";

const shared = sharedScenarios("rabbitmq");

/** The bare side's queue is there before what it consumes: so is the group. */
function waitsInGroup<S extends Pick<Scenario, "settings">>(scenario: S): S {
  return { ...scenario, settings: { ...scenario.settings, group: "before" } };
}

/** Quorum queues on both sides. Ours publishes through an exchange to the queue of each group and to the stream that it may be replayed from. */
export const scenarios: readonly Scenario[] = [
  {
    name: "publish with acknowledgement",
    unit: "messages/s",
    better: "higher",
    ours: "publish.ts",
    bare: "rabbitmq-publish.ts",
    settings: { messages: 50_000, window: 1_024 },
    budgets: [ratioOf(0.9)],
    about: "1,024 in flight; bare: to one quorum queue, with confirms",
  },
  {
    ...waitsInGroup(shared.consume),
    budgets: [ratioOf(0.9)],
    about: "a backlog that waits in the group's queues, 256 at once; bare: 512 ahead, 64 acknowledged together",
  },
  {
    ...waitsInGroup(shared.consumeUnordered),
    budgets: [ratioOf(0.9)],
    about: "as above, both sides hand out as it comes",
  },
  {
    ...shared.consume,
    name: "consume and ack, the past of a new group",
    budgets: [],
    about: "the same backlog, which is copied from the log into queues of the group first; bare: it waits in its queue",
  },
  { ...shared.handle, about: "in one process; bare: both of the above at once, over two connections" },
  { ...shared.handleUnordered, about: "as above, handed out as it comes on both sides" },
  {
    ...shared.latency,
    budgets: [latencyAdded(50)],
    about: "one each 2 ms, in one process; bare: a confirmed publish, and a consumer on a connection of its own",
  },
  {
    ...shared.request,
    settings: { messages: 2_000, window: 1 },
    budgets: [ratioOf(0.8)],
    about: "bare: a transient queue and direct reply-to; CPU is the requester's",
  },
  { ...shared.requests, settings: { ...shared.requests.settings, messages: 20_000 }, budgets: [ratioOf(0.8)] },
  scaling,
  {
    ...shared.waiting,
    settings: { messages: 200_000, window: 16 },
    name: "consume slowly, 200,000 waiting",
    about: `${waitingAbout} ahead`,
  },
];
