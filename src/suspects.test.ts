import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Suspects } from "./suspects.ts";

type Command = { readonly do: "add" } | { readonly do: "take" } | { readonly do: "done"; readonly pick: number };

const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("add" as const) }),
    fc.record({ do: fc.constant("take" as const) }),
    fc.record({ do: fc.constant("done" as const), pick: fc.nat(20) }),
  ),
  { maxLength: 60 },
);

describe("Suspects", () => {
  it("gives one at a time, in order, and blocks fresh ones while there is any", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const suspects = new Suspects<number>();
        let line: number[] = [];
        let busy: number | undefined;
        let minted = 0;
        for (const command of list) {
          if (command.do === "add") {
            minted += 1;
            suspects.add(minted);
            line.push(minted);
          } else if (command.do === "take") {
            const expected = busy === undefined ? line.shift() : undefined;
            if (busy === undefined) busy = expected;
            expect(suspects.take()).toBe(expected);
          } else {
            const item = minted === 0 ? 1 : 1 + (command.pick % minted);
            expect(suspects.done(item)).toBe(item === busy);
            if (item === busy) busy = undefined;
            line = line.filter((each) => each !== item);
          }
          expect(suspects.blocking).toBe(busy !== undefined || line.length > 0);
          expect(suspects.waiting).toBe(line.length);
        }
      }),
      { numRuns: 500 },
    );
  });
});
