import { expect, it } from "vitest";
import { OwnPart } from "./own-part.ts";

const taken = { stream: 1, partition: 2, epoch: 3, cursor: 10, done: null, outs: [12, 15, 12] };

it("counts for each message the owners that died with it in hand", () => {
  const part = new OwnPart(taken, "events/2", []);
  expect([11, 12, 13, 15, 16].map((seq) => part.deliveriesOf(seq))).toEqual([4, 4, 2, 2, 1]);
});

it("numbers what it writes upwards, above all that a former owner wrote", () => {
  const [former, part] = [new OwnPart({ ...taken, epoch: 2 }, "", []), new OwnPart(taken, "", [])];
  expect(part.epoch).toBe(3);
  for (let turn = 0; turn < 100; turn += 1) former.wrote();
  const before = BigInt(part.n);
  expect(before > BigInt(former.n)).toBe(true);
  part.wrote();
  expect(BigInt(part.n) - before).toBe(1n);
  expect(BigInt(part.n) >> 32n).toBe(3n);
});
