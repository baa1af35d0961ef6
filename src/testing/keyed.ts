import assert from "node:assert/strict";
import type { Bus } from "../bus.ts";
import type { SubscribeOptions } from "../handler.ts";
import { keyOrder } from "./invariants/key-order.ts";
import type { ItemEvent, Lab } from "./lab.ts";
import { type Run, Runs, upTo } from "./runs.ts";
import { reached } from "./until.ts";

/** Items 0, 1, 2 … of each key, all in one turn. */
export async function publishKeyed(bus: Bus, item: ItemEvent, messages: number, keys: number): Promise<void> {
  await Promise.all(upTo(messages).map((n) => bus.publish(item, { n: Math.floor(n / keys) }, { key: `k${n % keys}` })));
}

/** Subscribes every bus, waits for everything, and checks each key's order and that nothing ran twice without a failure. */
export async function assertOrder(
  lab: Lab,
  item: ItemEvent,
  buses: readonly Bus[],
  messages: number,
  options: SubscribeOptions,
  work: (run: Run) => unknown = () => undefined,
): Promise<Runs> {
  const runs = new Runs();
  for (const [m, bus] of buses.entries())
    await bus.subscribe(item, runs.handler(`m${m}`, work), { group: lab.group(), ...options });
  await reached(
    () => runs.done,
    messages,
    () => `${messages} handled; ${runs.done} were`,
  );
  await runs.silence(lab.quietMs);
  assert.deepEqual(keyOrder(runs.history()), []);
  assert.equal(runs.handled.length, messages);
  return runs;
}
