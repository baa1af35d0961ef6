import { ratioOf } from "./budgets.ts";
import type { Scenario } from "./scenario.ts";

/** For each driver whose store several processes share: both sides are ours. */
export const scaling: Scenario = {
  name: "consume, scaling: four members in four processes, a 5 ms handler",
  unit: "messages/s",
  better: "higher",
  ours: "scaling.ts",
  bare: "../ours/one-member.ts",
  settings: { messages: 12_000, window: 16, members: 4, handlerMs: 5 },
  rounds: 3,
  budgets: [ratioOf(3.5)],
  about: "16 at once in each (the default), the middle of a backlog; bare: one of ours; CPU is the members'",
};
