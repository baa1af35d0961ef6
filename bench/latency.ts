import { setTimeout as wait } from "node:timers/promises";
import { profiled } from "./profile.ts";
import type { Sample, Settings } from "./side.ts";
import { quantile } from "./spread.ts";

/** One message after the other: `send` resolves with the microseconds until its handler began. */
export async function latencies(
  { messages, idleMs = 0, everyMs = 0 }: Settings,
  send: (at: number) => Promise<number>,
): Promise<Sample> {
  const found: number[] = [];
  const cpu = process.cpuUsage();
  const begun = performance.now();
  await profiled(async () => {
    for (let at = 0; at < messages; at++) {
      const early = everyMs === 0 ? idleMs : begun + at * everyMs - performance.now();
      if (early > 0) await wait(early);
      found.push(await send(at));
    }
  });
  const { user, system } = process.cpuUsage(cpu);
  return { value: quantile(found, 0.5), cpuMicros: (user + system) / messages, notes: { p99: quantile(found, 0.99) } };
}
