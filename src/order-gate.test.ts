import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OrderGate } from "./order-gate.ts";

type Command =
  | { readonly do: "enter"; readonly key: string }
  | { readonly do: "leave"; readonly key: string }
  | { readonly do: "park"; readonly key: string; readonly parked: boolean }
  | { readonly do: "remove"; readonly modulo: number };

const key = fc.constantFrom("a", "b", "__proto__", "constructor");
const commands: fc.Arbitrary<readonly Command[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("enter" as const), key }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("leave" as const), key }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("park" as const), key, parked: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("remove" as const), modulo: fc.integer({ min: 2, max: 4 }) }) },
  ),
  { maxLength: 60 },
);

/** Of each key: who is inside, then who waits. */
class Naive {
  readonly lines = new Map<string, number[]>();
  readonly parked = new Set<string>();

  enter(at: string, item: number): boolean {
    const line = this.lines.get(at) ?? [];
    this.lines.set(at, [...line, item]);
    return line.length === 0;
  }

  leave(at: string): number | undefined {
    const line = (this.lines.get(at) ?? []).slice(1);
    this.lines.set(at, line);
    this.parked.delete(at);
    return line[0];
  }

  /** Only somebody who is inside can be. */
  park(at: string, parked: boolean): void {
    if (parked) this.parked.add(at);
    else this.parked.delete(at);
  }

  remove(unwanted: (item: number) => boolean): void {
    for (const [at, line] of this.lines)
      this.lines.set(
        at,
        line.filter((item, index) => index === 0 || !unwanted(item)),
      );
  }

  waiting(which: (at: string) => boolean = () => true): number {
    return [...this.lines].reduce((sum, [at, line]) => sum + (which(at) ? Math.max(line.length - 1, 0) : 0), 0);
  }
}

describe("OrderGate", () => {
  it("lets one item of a key in at a time, in order, whatever comes and goes", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const gate = new OrderGate<number>();
        const model = new Naive();
        let minted = 0;
        for (const command of list) {
          if (command.do === "enter") {
            minted += 1;
            expect(gate.enter(gate.at(command.key), minted)).toBe(model.enter(command.key, minted));
          } else if (command.do === "park") {
            if ((model.lines.get(command.key)?.length ?? 0) === 0) continue;
            gate.park(gate.at(command.key), command.parked);
            model.park(command.key, command.parked);
          } else if (command.do === "leave") expect(gate.leave(gate.at(command.key))).toBe(model.leave(command.key));
          else {
            gate.remove((item) => item % command.modulo === 0);
            model.remove((item) => item % command.modulo === 0);
          }
          expect(gate.waiting).toBe(model.waiting());
          expect(gate.stuck).toBe(model.waiting((at) => model.parked.has(at)));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("frees a key whose waiting items were all removed", () => {
    const gate = new OrderGate<number>();
    gate.enter(gate.at("a"), 1);
    gate.enter(gate.at("a"), 2);
    gate.remove((item) => item === 2);
    expect(gate.leave(gate.at("a"))).toBeUndefined();
    expect(gate.enter(gate.at("a"), 3)).toBe(true);
  });
});
