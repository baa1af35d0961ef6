import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { nonEmpty, positiveNumber, start, time, wholeNumber } from "./option-values.ts";

describe("option values", () => {
  it.each(["-1", "0", "1.5", "x", "", "1e3", "NaN", "9007199254740993", "0x10"])("%s is no count", (text) => {
    expect(() => wholeNumber(1)(text)).toThrow("It must be a whole number from 1.");
  });

  it("says both bounds", () => {
    expect(wholeNumber(1, 10)("10")).toBe(10);
    expect(() => wholeNumber(1, 10)("11")).toThrow("from 1 to 10");
  });

  it.each(["0", "-1", "Infinity", "x", ".5"])("%s is no rate", (text) => {
    expect(() => positiveNumber(text)).toThrow(InvalidArgumentError);
  });

  it("takes fractions of a rate", () => {
    expect(positiveNumber("0.5")).toBe(0.5);
  });

  it.each(["5", "yesterday", "2030-13-01", "2030-01-01Tx"])("%s is no time", (text) => {
    expect(() => time(text)).toThrow("It must be a date");
  });

  it("takes dates and moments", () => {
    expect(time("2030-01-31")).toEqual(new Date(Date.UTC(2030, 0, 31)));
    expect(start("2030-01-31T12:00:00Z")).toEqual(new Date(Date.UTC(2030, 0, 31, 12)));
    expect([start("oldest"), start("newest")]).toEqual(["oldest", "newest"]);
    expect(() => start("latest")).toThrow("oldest, newest or a date");
  });

  it("refuses blanks where a name is needed", () => {
    expect(() => nonEmpty(" ")).toThrow("It must not be empty.");
    expect(nonEmpty("a")).toBe("a");
  });
});
