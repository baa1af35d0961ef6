import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fifo } from "./fifo.ts";

type Command =
  | { readonly do: "push"; readonly many: number }
  | { readonly do: "shift"; readonly many: number }
  | { readonly do: "remove"; readonly modulo: number };

const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant("push" as const), many: fc.integer({ min: 1, max: 1_500 }) }),
    fc.record({ do: fc.constant("shift" as const), many: fc.integer({ min: 1, max: 1_500 }) }),
    fc.record({ do: fc.constant("remove" as const), modulo: fc.integer({ min: 2, max: 7 }) }),
  ),
  { maxLength: 25 },
);

function apply(fifo: Fifo<number>, model: number[], command: Command, next: () => number): void {
  if (command.do === "push") {
    for (let count = 0; count < command.many; count += 1) {
      const item = next();
      fifo.push(item);
      model.push(item);
    }
  } else if (command.do === "shift") {
    for (let count = 0; count < command.many; count += 1) expect(fifo.shift()).toBe(model.shift());
  } else {
    const unwanted = (item: number): boolean => item % command.modulo === 0;
    const kept = model.filter((item) => !unwanted(item));
    expect(fifo.remove(unwanted)).toBe(model.length - kept.length);
    model.splice(0, model.length, ...kept);
  }
}

describe("Fifo", () => {
  it("does what a plain array does", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const fifo = new Fifo<number>();
        const model: number[] = [];
        let minted = 0;
        for (const command of list) {
          apply(fifo, model, command, () => (minted += 1));
          expect(fifo.length).toBe(model.length);
          expect(fifo.peek()).toBe(model[0]);
        }
        expect([...fifo]).toEqual(model);
      }),
      { numRuns: 100 },
    );
  });

  it("is empty again after its last item, and goes on", () => {
    const fifo = new Fifo<string>();
    expect(fifo.shift()).toBeUndefined();
    fifo.push("a");
    expect(fifo.shift()).toBe("a");
    expect([fifo.length, fifo.peek(), fifo.shift()]).toEqual([0, undefined, undefined]);
    fifo.push("b");
    expect([...fifo]).toEqual(["b"]);
  });
});
