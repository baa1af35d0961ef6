import { describe, expect, it } from "vitest";
import { fields, table } from "./table.ts";

describe("table", () => {
  it("aligns texts left and numbers right", () => {
    const rows = [
      { name: "audit", waiting: 5 },
      { name: "a-longer-name", waiting: 12_000 },
    ];
    const lines = table(
      [
        { title: "group", of: (row) => row.name },
        { title: "waiting", of: (row) => String(row.waiting), right: true },
      ],
      rows,
    );
    expect(lines).toEqual(["GROUP          WAITING", "audit                5", "a-longer-name    12000"]);
  });

  it("shows an empty cell as a dash, and takes controls out before it measures", () => {
    const lines = table(
      [
        { title: "a", of: (text: string) => text },
        { title: "b", of: () => "" },
      ],
      ["\u001b[31mx\u001b[0m"],
    );
    expect(lines).toEqual(["A  B", "x  -"]);
  });
});

describe("fields", () => {
  it("indents the further lines of a value, so that none looks like a name", () => {
    expect(
      fields([
        ["id", "1"],
        ["stack", "Error: x\nid  forged"],
      ]),
    ).toEqual(["id     1", "stack  Error: x", "       id  forged"]);
  });
});
