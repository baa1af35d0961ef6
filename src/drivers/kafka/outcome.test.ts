import { expect, it } from "vitest";
import { outcomeOf } from "./outcome.ts";
import { Sequence } from "./sequence.ts";

it("never calls certain what may be stored", () => {
  const mayBeStored = [6, 7, 20, 56, -1, 999];
  for (const code of mayBeStored) expect(outcomeOf(code)).toMatchObject({ what: "again", certain: false });
  for (const code of [2, 3, 5, 19]) expect(outcomeOf(code)).toMatchObject({ what: "again", certain: true });
});

it("knows what will never be stored, and what is stored already", () => {
  expect([0, 46].map((code) => outcomeOf(code).what)).toEqual(["stored", "stored"]);
  expect([10, 18].map((code) => outcomeOf(code).what)).toEqual(["too-large", "too-large"]);
  expect([45, 47, 59].map((code) => outcomeOf(code).what)).toEqual(Array(3).fill("out-of-sequence"));
  expect(outcomeOf(29)).toEqual({ what: "refused", verdict: ["BUS_AUTHENTICATION", false] });
});

it("counts a partition's records on over the end of the numbers", () => {
  const sequence = new Sequence();
  sequence.stored(0x7fff_fffe);
  expect(sequence.next).toBe(2_147_483_646);
  sequence.stored(1);
  expect(sequence.next).toBe(2_147_483_647); // the highest that a broker takes
  sequence.stored(2);
  expect(sequence.next).toBe(1);
  sequence.restart();
  expect(sequence.next).toBe(0);
});
