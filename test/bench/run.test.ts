import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { benchBroker } from "../../bench/broker.ts";
import { driverReport, measureAll } from "../../bench/driver-report.ts";
import { benchOptions, type BenchDriver, type BenchOptions } from "../../bench/options.ts";
import { omissions, served } from "../../bench/report.ts";
import type { Scenario } from "../../bench/scenario.ts";
import { scaling } from "../../bench/scenarios-scaling.ts";
import { BrokerUnavailable } from "../../scripts/brokers/find-broker.ts";
import { connect } from "../../src/index.ts";
import { brokersHome } from "../support/brokers-home.ts";

brokersHome();
const directory = mkdtempSync(join(tmpdir(), "omnibus-bench-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

/** A row in a second: to see that it runs. */
const quick = (only: string): BenchOptions => ({
  ...benchOptions(["--rounds", "1", "--directory", directory, "--only", only])!,
  shorter: 500,
});
const required = (process.env["OMNIBUS_TEST_REQUIRE"] ?? "").split(",");
const silent = (): void => {};

describe("a run of the bench", () => {
  const rows: readonly (readonly [BenchDriver, string])[] = [
    ["memory", "publish and handle, encoded"],
    ["sqlite", "publish and handle"],
    ["nats", "publish and handle, order: none"],
    ["redis", "publish and handle, order: none"],
    ["postgres", "publish and handle, order: none"],
    ["rabbitmq", "publish and handle, order: none"],
    ["kafka", "publish and handle, order: none"],
  ];
  for (const [driver, only] of rows) {
    it(`measures both sides on ${driver}`, { timeout: 60_000 }, async ({ skip }) => {
      const isBroker = driver !== "memory" && driver !== "sqlite";
      const report = await driverReport(driver, quick(only), silent);
      if (report.missing !== undefined && !required.includes(driver)) skip(report.missing);
      expect(omissions(report)).toEqual([]);
      expect(report.measured.map(({ row }) => row.name)).toEqual([only]);
      const [{ row }] = report.measured as [(typeof report.measured)[number]];
      for (const { min, max } of [row.ours, row.bare, row.ratio]) expect(0 < min && min <= max && max < 1e9).toBe(true);
      expect(Math.min(row.cpuMicros.ours, row.cpuMicros.bare)).toBeGreaterThan(0);
      if (isBroker)
        expect(served(report.broker!)).toMatch(/^[\w-]+ \d+\.\d+[\d.]*\b.*, client \S+ \d.*; .*one (?:server|broker)/);
      else expect(report.broker).toBeUndefined();
    });
  }

  it("counts what several processes handle together", { timeout: 60_000 }, async () => {
    const settings = { ...scaling.settings, messages: 300, members: 2 };
    const options = {
      driver: "sqlite",
      directory,
      bytes: 100,
      rounds: 1,
      shorter: 2,
      url: undefined,
      reset: undefined,
    };
    const { measured, failed } = await measureAll([{ ...scaling, settings }], options, silent);
    expect(failed).toEqual([]);
    for (const { value, cpuMicros } of measured.flatMap(({ pairs }) =>
      pairs.flatMap(({ ours, bare }) => [ours, bare]),
    )) {
      expect(value).toBeGreaterThan(0);
      expect(value).toBeLessThan(1e6);
      expect(cpuMicros).toBeGreaterThan(0);
    }
    expect(measured).toHaveLength(1);
  });

  for (const driver of ["nats", "redis", "postgres", "kafka"] as const) {
    it(`starts each round on a ${driver} that holds nothing`, { timeout: 60_000 }, async ({ skip }) => {
      const broker = await benchBroker(driver).catch((error: unknown) => {
        if (error instanceof BrokerUnavailable && !required.includes(driver)) skip(error.message);
        throw error;
      });
      await using _ = broker!;
      const config = { url: broker!.url, prefix: "left" };
      const publish = async (): Promise<number> => {
        await using bus = await connect(config);
        await bus.publishTopic("bench.left", {});
        return (await bus.streams.info("events")).messages;
      };
      expect([await publish(), await publish()]).toEqual([1, 2]);
      await broker!.reset();
      expect(await publish()).toBe(1);
    });
  }

  it("says what is missing where a broker can't be had", async () => {
    vi.stubEnv("PATH", directory);
    vi.stubEnv("XDG_CACHE_HOME", directory);
    vi.stubEnv("OMNIBUS_TEST_INSTALL", "0");
    const report = await driverReport("nats", quick(""), silent);
    expect(report.measured).toEqual([]);
    expect(omissions(report).join("\n")).toMatch(
      /^not measured, no row of nats: nats can't be had: no nats-server on the path; /,
    );
  });

  it("keeps the other rows when one fails, and names it", { timeout: 60_000 }, async () => {
    const scenario = (name: string, bare: string): Scenario => ({
      name,
      unit: "messages/s",
      better: "higher",
      ours: "publish.ts",
      bare,
      settings: { messages: 100, window: 10 },
      rounds: 1,
      budgets: [],
      about: "",
    });
    const scenarios = [
      scenario("publish, broken", "nats-publish.ts"), // without a server
      scenario("publish, whole", "memory-publish.ts"),
    ];
    const options = {
      driver: "memory",
      directory,
      bytes: 100,
      rounds: 1,
      shorter: 1,
      url: undefined,
      reset: undefined,
    };
    const { measured, failed } = await measureAll(scenarios, { ...options, url: "nats://127.0.0.1:1" }, silent);
    expect(measured.map(({ row }) => row.name)).toEqual(["publish, whole"]);
    expect(failed).toEqual([{ name: "publish, broken", why: expect.stringContaining("connection refused") as string }]);
  });
});
