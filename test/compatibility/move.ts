import type { Bus } from "../../src/index.ts";

/** Whether a bus can be left: every group has handled all that was published, what is due later included. */
export async function isDrained(bus: Bus): Promise<boolean> {
  const groups = await bus.groups.list();
  return groups.every(({ waiting, inFlight }) => waiting + inFlight === 0);
}
