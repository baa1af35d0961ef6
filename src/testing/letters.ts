import assert from "node:assert/strict";
import type { DeadLetter } from "../admin.ts";
import { type Bus, Reject } from "../index.ts";
import type { ItemEvent, Lab } from "./lab.ts";
import { Runs, upTo } from "./runs.ts";
import { until } from "./until.ts";

export const failing = (message: string) => (): never => {
  throw new RangeError(message);
};

/** The letters of a group, once there are that many. */
export async function letters(bus: Bus, group: string, count: number): Promise<readonly DeadLetter[]> {
  let found = 0;
  await until(
    async () => (found = await bus.deadLetters.count({ group })) >= count,
    () => `${count} letters; there are ${found}`,
  );
  const { items } = await bus.deadLetters.list({ group, limit: 1_000 });
  assert.equal(found, count);
  return items;
}

/** A group that gave up `count` items, and whose handler works from now on. */
export async function brokenThenFixed(lab: Lab, bus: Bus, item: ItemEvent, count: number): Promise<Runs> {
  const runs = new Runs();
  let broken = true;
  const work = (): void => {
    if (broken) throw new Reject("broken");
  };
  await bus.subscribe(item, runs.handler("m1", work), { group: lab.group() });
  await Promise.all(upTo(count).map((n) => bus.publish(item, { n })));
  await letters(bus, lab.group(), count);
  broken = false;
  return runs;
}
