import { describe, expect, it } from "vitest";
import { ManualClock } from "../../test/support/manual-clock.ts";
import { timeOf, UuidSource } from "./uuid.ts";

const layout = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("UuidSource", () => {
  it("makes UUIDs of version 7 that hold the time", () => {
    const clock = new ManualClock();
    const id = new UuidSource(clock).next();
    expect(id).toMatch(layout);
    expect(timeOf(id)).toBe(clock.now());
  });

  it("makes each greater than the one before, within a millisecond and when the clock goes back", () => {
    const clock = new ManualClock();
    const source = new UuidSource(clock);
    const ids: string[] = [];
    for (let index = 0; index < 20_000; index += 1) {
      if (index % 1_000 === 0) clock.jump(index % 2_000 === 0 ? 5 : -3_600_000);
      ids.push(source.next());
    }
    expect(ids).toEqual([...new Set(ids)].toSorted());
    expect(ids.every((id) => layout.test(id))).toBe(true);
  });

  it("goes on in the next millisecond when the counter is used up", () => {
    const clock = { now: () => 1_000, random: () => 1 - Number.EPSILON };
    const source = new UuidSource(clock);
    let last = source.next();
    for (let index = 0; index <= 2 ** 16; index += 1) last = source.next();
    expect(last).toMatch(layout);
    expect(timeOf(last)).toBe(1_001);
  });

  it("keeps 48 bits of chance in each", () => {
    const clock = new ManualClock();
    const source = new UuidSource(clock);
    const tails = new Set(Array.from({ length: 10_000 }, () => source.next().slice(-12)));
    expect(tails.size).toBe(10_000);
  });

  it("fills every digit when chance is at its greatest", () => {
    expect(new UuidSource({ now: () => 0, random: () => 1 - 2 ** -53 }).next()).toMatch(
      /^00000000-0000-7ffb-bfff-ffffffffffff$/,
    );
  });
});

describe("timeOf", () => {
  it("knows no time of another id", () => {
    expect(timeOf("0190b3f0-0000-4000-8000-000000000000")).toBeUndefined();
    expect(timeOf("order-1")).toBeUndefined();
  });
});
