import { expect, it } from "vitest";
import { FaultyDriver } from "../test/support/faulty-driver.ts";
import { ManualClock } from "../test/support/manual-clock.ts";
import { Connector } from "./connector.ts";
import type { Core } from "./core.ts";
import { Counters } from "./counters.ts";
import { StatusBoard } from "./status-board.ts";
import { TimerWheel } from "./timer-wheel.ts";

it("tells those who wait for a line each time that it is back, and not of its first", async () => {
  const clock = new ManualClock();
  const core = {
    clock,
    wheel: new TimerWheel(clock),
    options: { name: "bus", prefix: "p", manage: "create", reconnect: { maxAttempts: 1, minMs: 1, maxMs: 1 } },
    counters: new Counters(),
    board: new StatusBoard("bus", undefined),
  } as unknown as Core;
  const driver = new FaultyDriver();
  const since = new Date(0);
  const member = { id: "m", name: "m", host: "here", pid: 1, since, lastSeen: since, partitions: undefined };
  const nothing = (): undefined => undefined;
  const connector = new Connector(core, driver, member, () => Promise.resolve(), nothing);
  let told = 0;
  connector.whenBack.add(() => void told++);
  await connector.ready();
  const [context] = driver.contexts;
  expect(told).toBe(0);
  for (const times of [1, 2]) {
    context!.status({ type: "disconnected", error: new Error("the line broke") });
    expect(told).toBe(times - 1);
    context!.status({ type: "connected" });
    expect(told).toBe(times);
  }
  await connector.close(AbortSignal.abort());
  context!.status({ type: "connected" });
  expect(told).toBe(2);
});
