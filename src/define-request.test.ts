import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineRequest } from "./define-request.ts";

const request = z.object({ sku: z.string() });
const response = z.object({ left: z.number() });
const loosely = defineRequest as unknown as (type: unknown, schemas: unknown) => unknown;

describe("defineRequest", () => {
  it("keeps type and schemas", () => {
    const CheckStock = defineRequest("stock.check", { request, response });
    expect(CheckStock).toEqual({ type: "stock.check", request, response });
    expect(Object.isFrozen(CheckStock)).toBe(true);
  });

  it.each([
    [
      "stock check",
      { request, response },
      "BUS_INVALID_TOPIC",
      'invalid topic "stock check": a space at position 6: a token has letters, digits, - and _ only',
    ],
    ["stock.*", { request, response }, "BUS_INVALID_TOPIC", 'invalid topic "stock.*": wildcard "*" at position 7'],
    [
      "x",
      { request },
      "BUS_INVALID_OPTION",
      'request "x": "response" must be a Standard Schema (zod 3.24, valibot 1, arktype 2 or newer, or typed<T>()), not undefined',
    ],
    [
      "x",
      { request: 7, response },
      "BUS_INVALID_OPTION",
      'request "x": "request" must be a Standard Schema (zod 3.24, valibot 1, arktype 2 or newer, or typed<T>()), not a number',
    ],
    [
      "x",
      { request, respones: response },
      "BUS_INVALID_OPTION",
      'request "x" has no option "respones"; did you mean "response"?',
    ],
  ])("refuses %s with %o", (type, schemas, code, message) => {
    expect(() => loosely(type, schemas)).toThrow(expect.objectContaining({ code, message }));
  });
});
