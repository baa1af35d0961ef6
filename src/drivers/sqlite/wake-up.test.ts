import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { until } from "../../../test/support/driver-harness.ts";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import { Alarm } from "../../internal/rows/alarm.ts";
import { WakeUp } from "./wake-up.ts";

function make(): {
  readonly clock: ManualClock;
  readonly wakeUp: WakeUp;
  readonly file: string;
  readonly count: { looks: number; polls: number };
} {
  const clock = new ManualClock();
  const count = { looks: 0, polls: 0 };
  const wakeUp = new WakeUp(clock, 20, { look: () => void (count.looks += 1), poll: () => void (count.polls += 1) });
  const file = join(newWorld().folder, "log");
  writeFileSync(file, "");
  return { clock, wakeUp, file, count };
}

describe("the wake-up", () => {
  it("polls where nothing is reported", () => {
    const { clock, wakeUp, count } = make();
    wakeUp.watch("/nowhere/at/all");
    clock.advance(1_000);
    expect(count).toEqual({ looks: 0, polls: 50 });
    wakeUp.close();
    clock.advance(1_000);
    expect(count.polls).toBe(50);
  });

  it("looks when a write is reported, and again while the commit may come", async () => {
    const { clock, wakeUp, file, count } = make();
    wakeUp.watch(file);
    clock.advance(10);
    appendFileSync(file, "x");
    await until(() => count.looks === 1, "a look");
    clock.advance(1);
    expect(count.looks).toBe(2);
    clock.advance(62);
    expect(count.looks).toBe(7);
    clock.advance(100);
    expect(count.looks).toBe(7);
    wakeUp.close();
  });

  it("polls seldom once our own writes were reported, and often again when one was not", async () => {
    const { clock, wakeUp, file, count } = make();
    wakeUp.watch(file);
    appendFileSync(file, "x");
    wakeUp.committed();
    wakeUp.wrote();
    await until(() => count.looks === 1, "the report");
    clock.advance(100);
    count.polls = 0;
    clock.advance(2_000);
    expect(count.polls).toBe(10);
    wakeUp.wrote(); // and nothing is reported
    clock.advance(500);
    count.polls = 0;
    clock.advance(1_000);
    expect(count.polls).toBe(50);
    wakeUp.close();
  });

  it("looks twice only for a report of our own commit", async () => {
    const { clock, wakeUp, file, count } = make();
    wakeUp.watch(file);
    wakeUp.committed();
    appendFileSync(file, "x");
    await until(() => count.looks === 1, "the report");
    clock.advance(100);
    expect(count.looks).toBe(2);
    wakeUp.close();
  });
});

describe("an alarm", () => {
  it("rings once, at the earliest time that it was set to", () => {
    const clock = new ManualClock();
    let rung = 0;
    const alarm = new Alarm(clock, () => void (rung += 1));
    const start = clock.now();
    alarm.set(start + 500);
    alarm.set(start + 100);
    alarm.set(start + 300);
    clock.advance(99);
    expect(rung).toBe(0);
    clock.advance(1);
    expect(rung).toBe(1);
    clock.advance(1_000);
    expect([rung, clock.timers]).toEqual([1, 0]);
  });

  it("waits as long as it takes, beyond what a timer can", () => {
    const clock = new ManualClock();
    let rung = 0;
    const alarm = new Alarm(clock, () => void (rung += 1));
    const month = 30 * 86_400_000;
    alarm.set(clock.now() + month);
    clock.advance(month - 1);
    expect(rung).toBe(0);
    clock.advance(1);
    expect(rung).toBe(1);
  });

  it("rings at the next look when the wall clock jumped", () => {
    const clock = new ManualClock();
    let rung = 0;
    const alarm = new Alarm(clock, () => void (rung += 1));
    alarm.set(clock.now() + 60_000);
    const late = clock.now() + 60_000;
    Object.defineProperty(clock, "now", { value: () => late });
    alarm.check();
    expect(rung).toBe(1);
    alarm.set(Number.NEGATIVE_INFINITY);
    alarm.clear();
    expect(clock.timers).toBe(0);
  });
});
