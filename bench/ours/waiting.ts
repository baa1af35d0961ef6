import { setTimeout as wait } from "node:timers/promises";
import { orders } from "../message.ts";
import { inWindows, type Open } from "../side.ts";
import { median } from "../spread.ts";
import { OrderPlaced, withBus } from "./bus.ts";

const samples = 40;
const everyMs = 100;
const longestMs = 300_000;

function residentMiB(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
}

async function begun(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += everyMs) {
    if (waited > longestMs) throw new Error(`nothing was handled in ${longestMs / 1_000} s`);
    await wait(everyMs);
  }
}

/** Messages wait while a slow handler works on a few: by how much resident memory grows from the first quarter of the time to the last. */
export const open: Open = (settings) => {
  const { messages, bytes, window } = settings;
  const order = orders(bytes);
  return {
    round: () =>
      withBus(settings, async (bus) => {
        let handled = 0;
        const handler = async (): Promise<void> => {
          await wait(2);
          handled += 1;
        };
        await inWindows(messages, 1_024, (at) => bus.publish(OrderPlaced, order(at)));
        await bus.subscribe(OrderPlaced, handler, { group: "slow", concurrency: window });
        await begun(() => handled > 0); // where the past of a new group is copied first, that takes a while
        const cpu = process.cpuUsage();
        const seen: number[] = [];
        for (let sample = 0; sample < samples; sample++) {
          await wait(everyMs);
          seen.push(residentMiB());
        }
        const { user, system } = process.cpuUsage(cpu);
        const from = median(seen.slice(0, samples / 4));
        const to = median(seen.slice(-samples / 4));
        return { value: to, cpuMicros: (user + system) / handled, notes: { from, handled } };
      }),
  };
};
