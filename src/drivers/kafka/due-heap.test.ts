import { expect, it } from "vitest";
import { DueHeap } from "./due-heap.ts";

it("gives what is due, earliest first, and nothing before its time", () => {
  const heap = new DueHeap<number>();
  const times = Array.from({ length: 200 }, (_, at) => (at * 7_919) % 211);
  for (const time of times) heap.add(time, time);
  expect(heap.nextAt).toBe(Math.min(...times));
  const taken: number[] = [];
  for (let now = 0; now < 211; now += 10)
    for (let item = heap.take(now); item !== undefined; item = heap.take(now)) {
      expect(item).toBeLessThanOrEqual(now);
      taken.push(item);
    }
  for (let item = heap.take(999); item !== undefined; item = heap.take(999)) taken.push(item);
  expect(taken).toEqual(times.toSorted((left, right) => left - right));
  expect(heap.size).toBe(0);
});
