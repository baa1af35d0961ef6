import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { DriverError } from "../../internal/driver-error.ts";
import { classify, isBusy, isFull } from "./classify.ts";

const sqliteError = (errcode: number): Error =>
  Object.assign(new Error("some text"), { code: "ERR_SQLITE_ERROR", errcode });

describe("classify", () => {
  it.each([
    [sqliteError(5), "BUS_TIMEOUT", true],
    [sqliteError(261), "BUS_TIMEOUT", true], // an extended code of BUSY
    [sqliteError(8), "BUS_AUTHENTICATION", false],
    [sqliteError(1034), "BUS_CONNECTION", true], // an fsync failed
    [sqliteError(4874), "BUS_FULL", true], // no room for the shared memory
    [sqliteError(11), "BUS_CORRUPT", false],
    [sqliteError(13), "BUS_FULL", true],
    [sqliteError(14), "BUS_CONNECTION", true],
    [sqliteError(18), "BUS_TOO_LARGE", false],
    [sqliteError(26), "BUS_CORRUPT", false],
    [sqliteError(1), "BUS_SERVER", false],
    [Object.assign(new Error("EACCES"), { code: "EACCES" }), "BUS_AUTHENTICATION", false],
    [Object.assign(new Error("ENOENT"), { code: "ENOENT" }), "BUS_CONNECTION", false],
    [Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }), "BUS_FULL", true],
    [Object.assign(new Error("closed"), { code: "ERR_INVALID_STATE" }), "BUS_CLOSED", false],
    [new DriverError("BUS_CONFLICT", "mine", { retryable: true }), "BUS_CONFLICT", true],
    [new Error("whatever"), "BUS_SERVER", false],
    [Object.assign(new Error("x"), { code: "constructor" }), "BUS_SERVER", false],
    [undefined, "BUS_SERVER", false],
    ["text", "BUS_SERVER", false],
  ])("%s is %s", (error, code, retryable) => {
    expect(classify(error)).toEqual({ code, retryable });
  });

  it("knows SQLite's own errors", () => {
    const database = new DatabaseSync(":memory:");
    try {
      database.exec("PRAGMA max_page_count = 2; CREATE TABLE a (b)");
      database.exec("INSERT INTO a VALUES (randomblob(100000))");
      expect.unreachable();
    } catch (error) {
      expect([isFull(error), isBusy(error)]).toEqual([true, false]);
    }
  });
});
