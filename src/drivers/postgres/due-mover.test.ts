import { expect, it } from "vitest";
import { DueMover } from "./due-mover.ts";
import type { Session } from "./session.ts";

it("sets no timer for what a look under way at its end finds", async () => {
  const timers = new Set<object>();
  const after = (): Disposable => {
    const timer = { [Symbol.dispose]: () => void timers.delete(timer) };
    timers.add(timer);
    return timer;
  };
  const { promise, resolve } = Promise.withResolvers<readonly (readonly string[])[]>();
  const session = {
    clock: { now: () => 0, random: () => 0, after },
    desk: { query: () => promise },
    isUp: true,
    pollMs: 1_000,
    listen: () => undefined,
    later: after,
  };
  const mover = new DueMover(session as unknown as Session);
  expect(timers.size).toBe(1);
  mover.close();
  resolve([["0", "60000", "{}"]]);
  await promise;
  await new Promise((done) => setImmediate(done));
  expect(timers.size).toBe(0);
});
