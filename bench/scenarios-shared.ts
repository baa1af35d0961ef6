import { cpuAdded, flat } from "./budgets.ts";
import type { BenchDriver } from "./options.ts";
import type { Scenario } from "./scenario.ts";

/** What is measured of every driver with a store, under one name, so that figures can stand side by side. */
interface SharedScenarios {
  readonly consume: Omit<Scenario, "budgets" | "about">;
  readonly handle: Omit<Scenario, "about">;
  /** The same in a group without an order, which is what the bare side has. */
  readonly consumeUnordered: Omit<Scenario, "budgets" | "about">;
  readonly handleUnordered: Omit<Scenario, "about">;
  readonly latency: Omit<Scenario, "budgets" | "about">;
  readonly request: Omit<Scenario, "budgets" | "about" | "settings">;
  readonly requests: Omit<Scenario, "budgets">;
  /** What the bare side reads at a time is left to say. */
  readonly waiting: Omit<Scenario, "about">;
}

export const waitingAbout = "from the first to the last second of a handler that takes 2 ms; bare: a window";

function unordered<S extends Pick<Scenario, "name" | "settings">>(scenario: S): S {
  return {
    ...scenario,
    name: `${scenario.name}, order: none`,
    settings: { ...scenario.settings, order: "none" },
  };
}

export function sharedScenarios(driver: Exclude<BenchDriver, "memory">): SharedScenarios {
  const requests = {
    unit: "requests/s",
    better: "higher",
    ours: "request.ts",
    bare: `${driver}-request.ts`,
  } as const;
  const consume = {
    name: "consume and ack",
    unit: "messages/s",
    better: "higher",
    ours: "consume.ts",
    bare: `${driver}-consume.ts`,
    settings: { messages: 100_000, window: 256 },
  } as const;
  const handle = {
    name: "publish and handle",
    unit: "messages/s",
    better: "higher",
    ours: "publish-and-handle.ts",
    bare: `${driver}-publish-and-handle.ts`,
    settings: { messages: 100_000, window: 512 },
    budgets: [cpuAdded(3)],
  } as const;
  return {
    consume,
    handle,
    consumeUnordered: unordered(consume),
    handleUnordered: unordered(handle),
    latency: {
      name: "latency, publish to handler, 500/s",
      unit: "µs (p50)",
      better: "lower",
      ours: "latency.ts",
      bare: `${driver}-latency.ts`,
      settings: { messages: 500, window: 1, everyMs: 2 },
      rounds: 10,
    },
    request: { ...requests, name: "request, one after the other, two processes" },
    requests: {
      ...requests,
      name: "request, 64 in flight, two processes",
      settings: { messages: 50_000, window: 64 },
      about: "as above",
    },
    waiting: {
      name: "consume slowly, a million waiting",
      unit: "MiB resident",
      better: "lower",
      ours: "waiting.ts",
      bare: `${driver}-waiting.ts`,
      settings: { messages: 1_000_000, window: 16 },
      rounds: 1,
      budgets: [flat(0.05)],
    },
  };
}
