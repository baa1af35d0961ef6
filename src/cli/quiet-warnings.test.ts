import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { quietWarnings } from "./quiet-warnings.ts";

describe("quietWarnings", () => {
  it("keeps Node 22's word on SQLite from those who listen, and nothing else", () => {
    const process = new EventEmitter();
    const heard: string[] = [];
    process.on("warning", ({ message }: Error) => heard.push(message));
    quietWarnings(process as unknown as NodeJS.Process);
    const warning = (name: string, message: string): unknown =>
      process.emit("warning", Object.assign(new Error(message), { name }));
    warning("ExperimentalWarning", "SQLite is an experimental feature and might change at any time");
    warning("ExperimentalWarning", "something else is experimental");
    warning("Warning", "SQLite is slow");
    expect(heard).toEqual(["something else is experimental", "SQLite is slow"]);
  });
});
