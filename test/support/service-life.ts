import { expect } from "vitest";
import type { Bus } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { Seen, Tick } from "./events.ts";

/** What a service does in its life, and needs rights for: groups `u`, `o` and `f`, which stay. */
export async function assertLives(bus: Bus, hasState = false): Promise<void> {
  const kinds = { unordered: new Seen(), ordered: new Seen(), tail: new Seen() };
  const subscriptions = [
    await bus.subscribe(Tick, kinds.unordered.handle, { group: "u", order: "none" }),
    await bus.subscribe(Tick, kinds.ordered.handle, { group: "o", order: "group" }),
    await bus.subscribe(Tick, kinds.tail.handle),
  ];
  await bus.publish(Tick, { n: 1 });
  await bus.publish(Tick, { n: 2 }, { delayMs: 1_500 });
  await bus.publish(Tick, { n: 3 }, { delivery: "at-most-once" });
  await bus.send("u", Tick, { n: 4 });
  await until(() => kinds.tail.count >= 3, "the tail", 10_000);
  await until(() => kinds.unordered.count >= 3 && kinds.ordered.count >= 2, "the groups", 10_000);
  const fails = (): void => {
    throw new Error("no");
  };
  const retry = { maxAttempts: 2, backoff: { baseMs: 1_500, jitter: 0 } };
  const failing = await bus.subscribe(Tick, fails, { group: "f", retry, from: "newest" });
  await bus.publish(Tick, { n: 5 });
  await until(async () => (await bus.deadLetters.count({ group: "f" })) >= 1, "its letter", 10_000);
  await failing.unsubscribe();
  expect(await bus.deadLetters.discard({ group: "f" })).toBeGreaterThan(0);
  expect((await bus.groups.list()).map(({ group }) => group).toSorted()).toEqual(["f", "o", "u"]);
  if (hasState) await bus.kv("settings").put("a", 1);
  expect((await bus.health()).status).toBe("up");
  for (const subscription of subscriptions) await subscription.unsubscribe();
}
