import { expect, it } from "vitest";
import { DueHeap } from "./due-heap.ts";

it("gives what is due, the oldest first", () => {
  const heap = new DueHeap<number>();
  const times = Array.from({ length: 500 }, (_, index) => (index * 7_919) % 499);
  for (const at of times) heap.add(at, at);
  expect(heap.next).toBe(0);
  expect(heap.take(-1)).toBeUndefined();
  const taken: number[] = [];
  for (let item = heap.take(249); item !== undefined; item = heap.take(249)) taken.push(item);
  expect(taken).toEqual(times.filter((at) => at <= 249).toSorted((a, b) => a - b));
  expect(heap.next).toBe(250);
  expect(heap.size).toBe(500 - taken.length);
  heap.clear();
  expect(heap.next).toBeUndefined();
});
