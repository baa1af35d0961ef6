import { describe, expect, it } from "vitest";
import { defineEvent, typed } from "./define-event.ts";
import { lift } from "./upcast.ts";

interface Name {
  readonly first: string;
  readonly last: string;
}
const cause = new Error("boom");
const Named = defineEvent("users.named", {
  schema: typed<Name>(),
  version: 4,
  upcast: {
    1: (data: string) => ({ name: data }),
    2: ({ name }: { readonly name: string }) => ({ first: name.split(" ")[0], last: name.split(" ")[1] }),
  },
});
const broken = (step: () => unknown) => defineEvent("x", { schema: typed<unknown>(), version: 2, upcast: { 1: step } });

describe("lift", () => {
  it("applies one step after the other", () => {
    const upTo3 = { ...Named, version: 3 };
    expect(lift(upTo3, 1, "Ada Lovelace")).toEqual({ first: "Ada", last: "Lovelace" });
    expect(lift(upTo3, 2, { name: "Ada Lovelace" })).toEqual({ first: "Ada", last: "Lovelace" });
  });

  it("leaves data of the definition's version as it is", () => {
    const data = { first: "Ada", last: "Lovelace" };
    expect(lift(Named, 4, data)).toBe(data);
  });

  it("names a step that is missing", () => {
    expect(() => lift(Named, 1, "Ada Lovelace")).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_DATA",
        message: "no upcast from version 3 (users.named version 1, known up to 4)",
      }),
    );
  });

  it("refuses data of a newer version, and takes no step from a prototype", () => {
    expect(() => lift(Named, 5, {})).toThrow("no upcast from version 5");
    expect(() => lift(Named, "constructor" as unknown as number, {})).toThrow("no upcast");
  });

  it("gives the cause when a step fails", () => {
    const failing = broken(() => {
      throw cause;
    });
    expect(() => lift(failing, 1, "x")).toThrow(expect.objectContaining({ code: "BUS_INVALID_DATA", cause }));
  });

  it("refuses a step that gives a promise, and lets no rejection escape", () => {
    expect(() =>
      lift(
        broken(() => Promise.reject(cause)),
        1,
        "x",
      ),
    ).toThrow("the upcast from version 1 gave a promise");
  });
});
