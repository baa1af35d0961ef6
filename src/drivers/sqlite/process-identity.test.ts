import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { Liveness } from "./liveness.ts";
import { isDead, ownIdentity } from "./process-identity.ts";

const own = ownIdentity();

describe("a process", () => {
  it("is alive while it runs, and dead once it was killed", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    const other = { ...own, pid: child.pid!, started: "" };
    expect(isDead(other, own)).toBe(false);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isDead(other, own)).toBe(true);
  });

  it.runIf(process.platform === "linux")("is dead when its number is another's now", () => {
    expect(own.started).toMatch(/^\d+$/);
    expect(isDead(own, own)).toBe(false);
    expect(isDead({ ...own, started: "1" }, own)).toBe(true);
  });

  it("is left to its lease when its number means nothing here", () => {
    expect(isDead({ pid: 999_999_999, started: "", space: "another machine" }, own)).toBe(false);
  });
});

describe("a lease", () => {
  it("ends when the same beat was seen for all of it by the steady clock, whatever the wall clock does", () => {
    const clock = new ManualClock();
    const liveness = new Liveness(clock, 10_000);
    const row = { id: 7, pid: 1, started: "", space: "elsewhere", beat: 3 };
    expect(liveness.gone([row])).toEqual([]);
    clock.advance(9_999);
    expect(liveness.gone([row])).toEqual([]);
    clock.advance(2);
    expect(liveness.gone([row])).toEqual([7]);
  });

  it("goes on with every beat, and starts again for a process that comes back", () => {
    const clock = new ManualClock();
    const liveness = new Liveness(clock, 1_000);
    const row = { id: 7, pid: 1, started: "", space: "elsewhere" };
    for (let beat = 0; beat < 5; beat += 1) {
      expect(liveness.gone([{ ...row, beat }])).toEqual([]);
      clock.advance(900);
    }
    expect(liveness.gone([])).toEqual([]);
    expect(liveness.gone([{ ...row, beat: 4 }])).toEqual([]);
  });
});
