import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, describe, expect, it } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { systemClock } from "../../src/clock.ts";
import { sqlite, type SqliteOptions } from "../../src/drivers/sqlite/index.ts";
import { until } from "../../src/testing/until.ts";
import { fresh, Tick } from "../support/events.ts";

const folder = mkdtempSync(join(tmpdir(), "omnibus-options-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const newPath = (): string => join(folder, `${fresh("bus")}.db`);
const on = (options: SqliteOptions): Promise<Bus> =>
  connect({ driver: sqlite(options), publishing: { retry: { maxAttempts: 1 } } });

describe("the options of the SQLite driver", () => {
  it("option: SqliteOptions.path is the file, shared and kept", async () => {
    const path = newPath();
    const bus = await on({ path });
    await bus.publish(Tick, { n: 1 });
    await bus.close();
    await using again = await on({ path });
    await using other = await on({ path: newPath() });
    expect([(await again.streams.info("events")).messages, (await other.streams.info("events")).messages]).toEqual([
      1, 0,
    ]);
  });

  it("option: SqliteOptions.pollMs is how often it looks while nothing is reported", async () => {
    const waits: number[] = [];
    const clock = {
      ...systemClock,
      after: (ms: number, callback: () => void) => (waits.push(ms), systemClock.after(ms, callback)),
    };
    const now = new Date();
    const connection = await sqlite({ path: newPath(), pollMs: 777 }).connect({
      name: "test",
      prefix: "omnibus",
      member: { id: "m", name: "m", host: "h", pid: process.pid, since: now, lastSeen: now, partitions: undefined },
      manage: "create",
      clock,
      signal: new AbortController().signal,
      status: () => undefined,
      changed: () => undefined,
      warn: () => undefined,
    });
    await connection.close(AbortSignal.abort());
    expect(waits).toContain(777);
  });

  it("option: SqliteOptions.maxFileBytes refuses publishes that would make the file larger", async () => {
    await using bus = await on({ path: newPath(), maxFileBytes: 1_000_000 });
    const refused = async (): Promise<boolean> =>
      bus.publishTopic("big", "x".repeat(200_000)).then(
        () => false,
        (error: { readonly code: string }) => error.code === "BUS_FULL",
      );
    let published = 0;
    while (!(await refused())) expect((published += 1)).toBeLessThan(20);
    expect(published).toBeGreaterThan(0);
  });

  it("option: SqliteOptions.busyTimeoutMs is when another process's write lock is said to block", async () => {
    const path = newPath();
    await using bus = await on({ path, busyTimeoutMs: 100 });
    const said: string[] = [];
    bus.onStatus(({ type }) => void said.push(type));
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const published = bus.publish(Tick, { n: 1 });
    await until(() => said.includes("blocked"), "that it is blocked", 3_000);
    other.exec("ROLLBACK");
    other.close();
    await published;
    await until(() => said.includes("unblocked"), "that it goes on", 3_000);
  });
});
