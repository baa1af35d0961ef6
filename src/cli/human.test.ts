import { expect, it } from "vitest";
import { bytes, count, duration, plural, when } from "./human.ts";

it("writes counts", () => {
  expect([count(undefined), count(0), count(1_234_567)]).toEqual(["-", "0", "1,234,567"]);
  expect([plural(0, "event"), plural(1, "event"), plural(2, "event")]).toEqual(["0 events", "1 event", "2 events"]);
});

it("writes sizes", () => {
  const sizes = [undefined, 0, 1, 1_023, 1_024, 1_536, 200 * 1_024, 2 ** 30, 2 ** 60];
  expect(sizes.map((size) => bytes(size))).toEqual([
    "-",
    "0 B",
    "1 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "200 KiB",
    "1.0 GiB",
    "1048576 TiB",
  ]);
});

it("writes durations", () => {
  const times = [undefined, 0, 999, 1_500, 60_000, 3_600_000, 47 * 3_600_000, 50 * 3_600_000];
  expect(times.map((ms) => duration(ms))).toEqual([
    "-",
    "0 ms",
    "999 ms",
    "1.5 s",
    "1 min",
    "1 h 0 min",
    "47 h 0 min",
    "2 d 2 h",
  ]);
});

it("writes times, and survives one that is none", () => {
  expect([when(undefined), when(new Date(0)), when(new Date(Number.NaN))]).toEqual([
    "-",
    "1970-01-01T00:00:00.000Z",
    "-",
  ]);
});
