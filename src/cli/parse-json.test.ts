import { expect, it } from "vitest";
import { parseJson } from "./parse-json.ts";

it("says where JSON is broken, without repeating it", () => {
  expect(parseJson('{"a":1}', "the data")).toEqual({ a: 1 });
  expect(() => parseJson(" ", "the data")).toThrow("the data must be JSON: it is empty.");
  expect(() => parseJson('{"secret":oops}', "the data")).toThrow(/^the data must be JSON: it can't be parsed[^{]*\.$/u);
});
