import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { typed } from "./define-event.ts";
import { isBusError, ValidationError } from "./errors.ts";
import { check } from "./schema-check.ts";

function failure(run: () => unknown): ValidationError {
  try {
    run();
  } catch (error) {
    if (error instanceof ValidationError) return error;
    throw error;
  }
  throw new Error("it passed");
}

const zodOrder = z.object({
  id: z.string(),
  total: z.number().max(100),
  region: z.enum(["eu", "us"]),
  tags: z.array(z.string()),
});
const valibotOrder = v.object({
  id: v.string(),
  total: v.pipe(v.number(), v.maxValue(100)),
  region: v.picklist(["eu", "us"]),
  tags: v.array(v.string()),
});
const arktypeOrder = type({ id: "string", total: "number <= 100", region: "'eu' | 'us'", tags: "string[]" });
const libraries = [
  ["zod", zodOrder],
  ["valibot", valibotOrder],
  ["arktype", arktypeOrder],
] as const;

describe.each(libraries)("check with %s", (_, schema) => {
  it("gives what the schema makes of the value, at once", () => {
    const order = { id: "o-1", total: 12, region: "eu", tags: ["a"] };
    expect(check(schema as typeof zodOrder, order, "data")).toEqual(order);
  });

  it("names the path of each issue and never a value", () => {
    const secrets = { id: 4711, total: 98_765, region: "hunter2", tags: ["fine", { secret: "hunter3" }] };
    const error = failure(() => check(schema as typeof zodOrder, secrets, "data (orders.placed)"));
    const paths = error.issues.map(({ path }) => path.join("."));
    expect(paths.toSorted()).toEqual(["id", "region", "tags.1", "total"]);
    expect(error.message).toMatch(/^invalid data \(orders\.placed\): .*; and 1 more$/);
    for (const issue of error.issues) expect(issue.message.length).toBeGreaterThan(5);
    expect(JSON.stringify([error.message, error.issues])).not.toMatch(/4711|98_?765|hunter|fine/);
    expect(error.code).toBe("BUS_INVALID_DATA");
    expect(isBusError(error)).toBe(true);
  });
});

describe("check", () => {
  it("keeps what a library says of kinds", () => {
    const messageOf = (schema: Parameters<typeof check>[0], value: unknown): string =>
      failure(() => check(schema, value, "data")).message;
    expect(messageOf(zodOrder, { id: 7 })).toContain("id: Invalid input: expected string, received number");
    expect(messageOf(valibotOrder, { id: 7, total: 1, region: "eu", tags: [] })).toBe(
      "invalid data: id: Invalid type: Expected string",
    );
    expect(messageOf(arktypeOrder, { id: 7, total: 1, region: "eu", tags: [] })).toBe(
      "invalid data: id: id must be a string (was a number)",
    );
  });

  it("takes values out of what the author of a schema wrote", () => {
    const schema = z.string().check((context) => {
      context.issues.push({ code: "custom", message: `no such user: ${context.value}`, input: context.value });
    });
    expect(failure(() => check(schema, "anna@example.org", "data")).message).toBe("invalid data: no such user: …");
    const whole = z.object({ a: z.string() }).refine(() => false, { error: ({ input }) => JSON.stringify(input) });
    expect(failure(() => check(whole, { a: "hunter2" }, "data")).message).not.toContain("hunter2");
  });

  it("gives the output of a transforming schema", () => {
    expect(
      check(z.object({ at: z.string().transform((text) => new Date(text)) }), { at: "2026-01-01" }, "data"),
    ).toEqual({
      at: new Date("2026-01-01"),
    });
  });

  it("is a promise only where the schema is asynchronous", async () => {
    const later = v.pipeAsync(
      v.string(),
      v.checkAsync((text) => Promise.resolve(text !== "taken"), "is in use"),
    );
    const checked = check(later, "free", "data");
    expect(checked).toBeInstanceOf(Promise);
    expect(await checked).toBe("free");
    await expect(check(later, "taken", "data (users.named)")).rejects.toThrow("invalid data (users.named): is in use");
    expect(check(typed<number>(), 7, "data")).toBe(7);
  });

  it("turns a schema that throws or rejects into ValidationError with the cause", async () => {
    const cause = new Error("boom");
    const transform = (): never => {
      throw cause;
    };
    const message = "invalid data: the schema itself failed";
    const throwing = v.pipe(v.string(), v.transform(transform));
    expect(failure(() => check(throwing, "x", "data"))).toMatchObject({ message, cause });
    // zod tries again asynchronously what threw.
    await expect(check(z.string().transform(transform), "x", "data")).rejects.toMatchObject({ message, cause });
  });

  it("shows keys that came with the data without control characters", () => {
    const error = failure(() => check(z.record(z.string(), z.number()), { "a\u001b[2J": "x", plain: "y" }, "data"));
    expect(error.message).toContain('["a?[2J"]: ');
    expect(error.message).toContain("plain: ");
  });

  it("stays small when a schema finds thousands of issues", () => {
    const error = failure(() =>
      check(
        z.array(z.number()),
        Array.from({ length: 5_000 }, () => "x"),
        "data",
      ),
    );
    expect(error.issues).toHaveLength(100);
    expect(error.message).toMatch(/^invalid data: \[0\]: .*; and 4997 more$/);
  });
});
