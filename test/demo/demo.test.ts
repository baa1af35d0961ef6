import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { demo, small } from "./run-demo.ts";

describe("npm run demo", () => {
  it("proves every event of every group although it kills its worker", async () => {
    const { code, output } = await demo(small);
    expect(output).toMatch(/^killed +worker 1 by SIGKILL, \d+ of 1,200 handled/mu);
    expect(output).toMatch(/^letters +\d+ dead letters of the indexer \(milestone\)/mu);
    for (const group of ["audit", "notifier", "indexer"]) {
      expect(output).toMatch(new RegExp(`^${group} +ok {2}400 of 400 ids · in order in 40 repositories`, "mu"));
    }
    expect(output).toContain("Every event was handled by every group, in order per repository.");
    // oxlint-disable-next-line no-control-regex
    expect(output).not.toMatch(/[\u001b\r]/u);
    expect(code).toBe(0);
  });

  it("runs on memory in one process, and says that nothing is killed", async () => {
    const { code, output } = await demo([...small, "--url", "memory:"]);
    expect(output).toContain("the kill is skipped");
    expect(output.match(/ok {2}400 of 400 ids/gu)).toHaveLength(3);
    expect(code).toBe(0);
  });

  it.each([
    ["lose", "missing: "],
    ["twice", "twice: "],
    ["swap", "order: "],
  ])("fails with exit code 1 when its journals are made to %s an event", async (fault, problem) => {
    const { code, output } = await demo([...small, "--url", "memory:"], fault);
    expect(output).toMatch(/^audit +NOT OK/mu);
    expect(output).toContain(problem);
    expect(output).toContain("Something is missing or out of order.");
    expect(code).toBe(1);
  });

  it("ends at once, and leaves no worker behind, when publishing fails", async () => {
    const directory = mkdtempSync(join(tmpdir(), "omnibus-demo-full-"));
    const url = `sqlite:${join(directory, "bus.db")}?maxFileBytes=2500000`;
    const { code, output } = await demo(["--events", "3000", "--url", url]); // 60 s when it waits for what never comes
    rmSync(directory, { recursive: true, force: true });
    expect(output).toMatch(/^demo: BUS_FULL: publishing to /mu);
    expect(code).toBe(1);
  });

  it("refuses wrong options with exit code 2", async () => {
    expect((await demo(["--events", "-1"])).code).toBe(2);
    expect((await demo(["--event", "1"])).code).toBe(2);
    expect((await demo(["--help"])).output).toContain("--repositories <n>");
  });
});
