import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { BusError } from "../index.ts";
import { failure } from "./failure.ts";
import { UsageError } from "./usage-error.ts";

const url = "redis://app:hunter2@host";

describe("failure", () => {
  it("is one line with the code", () => {
    const error = new BusError("BUS_CONNECTION", "connect to redis://app:hunter2@host:\nrefused", {
      cause: new Error("hunter2"),
    });
    expect(failure(error, { verbose: false, url })).toEqual({
      exitCode: 1,
      text: "omnibus: BUS_CONNECTION: connect to redis://***@host: refused",
    });
  });

  it("shows stacks and causes when asked to, without secrets", () => {
    const error = new BusError("BUS_CONNECTION", "connect failed", { cause: new Error("password hunter2 is wrong") });
    const { text } = failure(error, { verbose: true, url });
    expect(text).toContain("failure.test.ts");
    expect(text).toContain("caused by: Error: password *** is wrong");
    expect(text).not.toContain("hunter2");
  });

  it("knows the passwords of both urls", () => {
    const error = new BusError("BUS_CONNECTION", "hunter2 and swordfish are wrong");
    const state = "postgres://app:swordfish@host";
    expect(failure(error, { verbose: false, url, state }).text).toBe("omnibus: BUS_CONNECTION: *** and *** are wrong");
  });

  it("survives causes that go round, and things that are no errors", () => {
    const error = new Error("one");
    error.cause = error;
    expect(failure(error, { verbose: true, url: undefined }).exitCode).toBe(1);
    expect(failure(undefined, { verbose: true, url: undefined }).text).toBe("omnibus: undefined");
  });

  it("tells wrong use from failing", () => {
    const settings = { verbose: false, url };
    expect(failure(new UsageError("say --yes."), settings)).toEqual({ exitCode: 2, text: "omnibus: say --yes." });
    expect(failure(new CommanderError(1, "commander.unknownOption", "x"), settings)).toEqual({ exitCode: 2, text: "" });
    expect(failure(new CommanderError(0, "commander.helpDisplayed", "x"), settings)).toEqual({ exitCode: 0, text: "" });
    expect(failure(new BusError("BUS_INVALID_OPTION", "no such scheme"), settings)).toEqual({
      exitCode: 2,
      text: "omnibus: BUS_INVALID_OPTION: no such scheme",
    });
  });
});
