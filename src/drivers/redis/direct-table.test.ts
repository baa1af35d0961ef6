import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DirectTable, encodeListeners, type Listener, type Receiver } from "./direct-table.ts";
import { newAddress, processOf } from "./inboxes.ts";
import { systemClock } from "../../clock.ts";

const nobody: ReadonlySet<string> = new Set();

function listener(number: number, patterns: readonly string[], more: Partial<Listener> = {}): Listener {
  return { number, group: undefined, patterns, answers: [], ...more };
}

function table(processes: Readonly<Record<string, readonly Listener[]>>, turn = 0): DirectTable {
  const rows = Object.entries(processes).map(([name, listeners]) => [name, encodeListeners(listeners)] as const);
  return new DirectTable(
    "1",
    rows.filter(([, json]) => json !== ""),
    turn,
  );
}

function chosen(from: DirectTable, topic: string, request = false, gone = nobody): readonly string[] {
  return from
    .match(topic, request)
    .map((target) => target.choose(topic, gone))
    .filter((receiver): receiver is Receiver => receiver !== undefined)
    .map(({ process, number }) => `${process}${number}`)
    .toSorted();
}

describe("who gets a direct message", () => {
  it("is every listener without a group and one of each group, in turn", () => {
    const from = table({
      a: [listener(1, ["x.*"]), listener(2, ["x.>"], { group: "g" }), listener(3, ["x.y"], { group: "h" })],
      b: [listener(1, ["x.y"], { group: "g" }), listener(2, ["z"])],
    });
    const rounds = [1, 2, 3, 4].map(() => chosen(from, "x.y"));
    expect(rounds.map((round) => round.length)).toEqual([3, 3, 3, 3]);
    expect(rounds.map((round) => round.includes("b1"))).toEqual([false, true, false, true]);
    expect(chosen(from, "x.y.z")).toEqual(["a2"]);
    expect(chosen(from, "nobody")).toEqual([]);
  });

  it("is whoever answers, and nobody else, for a request", () => {
    const from = table({ a: [listener(1, ["x"]), listener(2, [], { answers: ["x"] })] });
    expect([chosen(from, "x"), chosen(from, "x", true)]).toEqual([["a1"], ["a2"]]);
  });

  it("is the next of a group when a process is gone, and nobody when all are", () => {
    const from = table({ a: [listener(1, ["x"], { group: "g" })], b: [listener(1, ["x"], { group: "g" })] });
    expect(chosen(from, "x", false, new Set(["a"]))).toEqual(["b1"]);
    expect(chosen(from, "x", false, new Set(["a", "b"]))).toEqual([]);
  });

  it("is not always the first member after the table changed", () => {
    const members = { a: [listener(1, ["x"], { group: "g" })], b: [listener(1, ["x"], { group: "g" })] };
    expect([0, 1, 2].map((turn) => chosen(table(members, turn), "x")[0])).toEqual(["a1", "b1", "a1"]);
  });

  it("is never somebody who does not want it, and everybody gets as much as the others of his group", () => {
    const wants = fc.array(fc.constantFrom("x", "y", "*"), { minLength: 1, maxLength: 2 });
    fc.assert(
      fc.property(fc.array(wants, { minLength: 1, maxLength: 6 }), (all) => {
        const names = all.map((_, index) => String.fromCharCode(97 + index));
        const from = table(
          Object.fromEntries(all.map((patterns, index) => [names[index]!, [listener(1, patterns, { group: "g" })]])),
        );
        const willing = names.filter((_, index) => all[index]!.some((pattern) => pattern !== "y"));
        const counts = new Map<string, number>();
        for (let round = 0; round < willing.length * 3; round += 1)
          for (const name of chosen(from, "x")) counts.set(name, (counts.get(name) ?? 0) + 1);
        expect([...counts].toSorted()).toEqual(willing.map((name) => [`${name}1`, 3]));
      }),
    );
  });

  it("is read from what processes say of themselves; what is no such thing is passed over", () => {
    expect(encodeListeners([listener(1, [])])).toBe("");
    expect(
      chosen(
        new DirectTable(
          "1",
          [
            ["a", "{"],
            ["b", encodeListeners([listener(1, ["x"])])],
          ],
          0,
        ),
        "x",
      ),
    ).toEqual(["b1"]);
  });
});

describe("the address of an inbox", () => {
  it("names its process, and is not guessed", () => {
    const process = "0123456789abcdef".repeat(2);
    const addresses = new Set(Array.from({ length: 100 }, () => newAddress(process, systemClock)));
    expect(addresses.size).toBe(100);
    for (const address of addresses) expect(processOf(address)).toBe(process);
  });
  it.each(["", "x", "{a}:c:b", `${"0".repeat(32)}.${"g".repeat(32)}`, `${"0".repeat(32)}.${"0".repeat(32)} `])(
    "is not %j",
    (address) => expect(processOf(address)).toBeUndefined(),
  );
});
