import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { OutMessage } from "../../driver.ts";
import { Packing } from "./chunks.ts";

const message = (lane: string, number: number, size: number): OutMessage =>
  ({
    brokerId: `${lane}/${number}`,
    key: undefined,
    hash: number,
    headers: [],
    body: new Uint8Array(size),
    notBefore: undefined,
  }) as unknown as OutMessage;

describe("chunks", () => {
  it("hold each message once, in call order by lane, within the limits", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("s:a", "s:b", "q:c"), fc.nat({ max: 100_000 })), { maxLength: 600 }),
        (rows) => {
          const packing = new Packing();
          const sent = rows.map(([lane, size], number) => [lane, message(lane, number, size)] as const);
          for (const [lane, each] of sent) packing.add(lane, each, "t", 0);
          for (const lane of new Set(rows.map(([each]) => each))) {
            const chunks = packing.chunks.filter((chunk) => chunk.lane === lane);
            expect(chunks.flatMap((chunk) => chunk.messages)).toEqual(
              sent.filter(([of]) => of === lane).map(([, each]) => each),
            );
          }
          for (const chunk of packing.chunks) {
            expect(chunk.messages.length).toBeLessThanOrEqual(128);
            expect(chunk.frame().length).toBeLessThan(262_144 + 101_000);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("say how long it is until a message is due, never less than nothing", () => {
    const packing = new Packing();
    packing.add("s:a", { ...message("s:a", 1, 0), notBefore: 1_500 }, "t", 1_000);
    packing.add("s:a", { ...message("s:a", 2, 0), notBefore: 500 }, "t", 1_000);
    const frame = packing.chunks[0]!.frame();
    const delays = [frame.indexOf("s:a/1"), frame.indexOf("s:a/2")].map((at) => {
      const afterId = at + 5;
      return frame.readDoubleBE(afterId + 2 + 1 + 2 + 4 + 4);
    });
    expect(delays).toEqual([500, 0]);
  });
});
