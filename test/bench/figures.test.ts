import { describe, expect, it } from "vitest";
import { cpuAdded, cpuTimes, flat, latencyAdded, latencyBelow, ratioOf } from "../../bench/budgets.ts";
import { benchmarksPage } from "../../bench/docs.ts";
import type { DriverReport } from "../../bench/driver-report.ts";
import { latencies } from "../../bench/latency.ts";
import type { Measured } from "../../bench/measure.ts";
import { benchOptions } from "../../bench/options.ts";
import { groupOptions } from "../../bench/ours/bus.ts";
import { cells, markdownTable } from "../../bench/report.ts";
import { sharedScenarios } from "../../bench/scenarios-shared.ts";
import type { Sample } from "../../bench/side.ts";
import { median, quantile, spread } from "../../bench/spread.ts";

const sample = (value: number, cpuMicros = 1, notes?: Record<string, number>): Sample => ({
  value,
  cpuMicros,
  ...(notes === undefined ? {} : { notes }),
});

function measured(ours: readonly Sample[], bare: readonly Sample[]): Measured {
  const values = (samples: readonly Sample[]): number[] => samples.map(({ value }) => value);
  const row = {
    name: "latency, x",
    driver: "memory",
    unit: "µs (p50)",
    ours: spread(values(ours)),
    bare: spread(values(bare)),
    ratio: spread([0.5, 0.7, 0.9]),
    cpuMicros: { ours: median(ours.map((each) => each.cpuMicros)), bare: median(bare.map((each) => each.cpuMicros)) },
    runs: ours.length,
    settings: { notes: { ours: {}, bare: {} } },
  };
  const scenario = {
    name: row.name,
    unit: row.unit,
    better: "lower",
    ours: "",
    bare: "",
    settings: { messages: 1, window: 1 },
    about: "",
    budgets: [latencyBelow(2), latencyAdded(50)],
    reference: 400,
  } as const;
  return { scenario, row, pairs: ours.map((each, at) => ({ ours: each, bare: bare[at]! })) };
}

describe("figures", () => {
  it("takes medians and quantiles of unsorted values", () => {
    expect(spread([9, 1, 5])).toEqual({ min: 1, median: 5, max: 9 });
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([10, 2, 9, 1, 8, 3, 7, 4, 6, 5], 0.5)).toBe(5);
    expect(quantile([1, 2, 3, 4], 0.99)).toBe(4);
  });

  it("judges added latency by the median of the pairs, not of the sides", () => {
    const found = measured([sample(110), sample(210), sample(1_000)], [sample(100), sample(200), sample(300)]);
    expect(latencyAdded(50).judge(found)).toEqual({ figure: "10 µs", met: true });
    expect(latencyAdded(5).judge(found).met).toBe(false);
    expect(latencyBelow(2).judge(found)).toEqual({ figure: "0.21 ms", met: true });
  });

  it("measures without an order what is also measured with one", () => {
    const { consume, consumeUnordered, handle, handleUnordered } = sharedScenarios("redis");
    expect(consumeUnordered).toEqual({ ...consume, name: expect.any(String), settings: expect.any(Object) });
    expect(handleUnordered.name).toBe(`${handle.name}, order: none`);
    expect(groupOptions(consume.settings)).not.toHaveProperty("order");
    expect(groupOptions(consumeUnordered.settings)).toMatchObject({ concurrency: 256, order: "none" });
    expect(groupOptions(handleUnordered.settings)).toMatchObject({ concurrency: 512, order: "none" });
  });

  it("judges ratios, CPU and growth", () => {
    const found = measured([sample(1, 7, { from: 100 })], [sample(1, 3)]);
    expect(ratioOf(0.6).judge(found)).toEqual({ figure: "0.70", met: true });
    expect(ratioOf(0.8).judge(found).met).toBe(false);
    expect(cpuAdded(3).judge(found)).toEqual({ figure: "4.00 µs", met: false });
    expect(cpuTimes(0.4).judge(found)).toEqual({ figure: "0.4", met: true });
    expect(cpuTimes(0.5).judge(found).met).toBe(false);
    expect(flat(0.05).judge(measured([sample(104, 1, { from: 100 })], [sample(1)])).met).toBe(true);
    expect(flat(0.05).judge(measured([sample(110, 1, { from: 100 })], [sample(1)])).met).toBe(false);
  });

  it("writes a row for people", () => {
    const found = measured([sample(110, 7)], [sample(100, 3)]);
    expect(cells(found)).toEqual([
      "latency, x",
      "110 µs",
      "100 µs",
      "0.70 (0.50–0.90)",
      "7.00 / 3.00",
      "1",
      "p50 < 2 ms: 0.11 ms met; p50 < 50 µs added: 10 µs met",
    ]);
    expect(markdownTable([cells(found)]).split("\n")).toHaveLength(3);
  });

  it("writes a page with what a driver ran on, and with what has no row", () => {
    const none = { minutes: 5.86, broker: undefined, missing: undefined, measured: [], failed: [] };
    const broker = { server: "nats-server 2.15.2", client: "nats 3.4.0", durability: "in files" };
    const reports: readonly DriverReport[] = [
      { ...none, driver: "memory", failed: [{ name: "publish, x", why: "it broke" }] },
      { ...none, driver: "nats", broker, measured: [measured([sample(110, 7)], [sample(100, 3)])] },
      { ...none, driver: "redis", missing: "redis can't be had: no redis-server on the path" },
    ];
    const page = benchmarksPage(reports, {
      command: "npm run bench",
      machine: "2 cores",
      day: "2026-11-21",
      fdatasyncMs: 0.1,
      slowDisk: true,
      inserts: { rates: [], envelopeBytes: 467, envelopeMicros: 1 },
    });
    for (const line of [
      "- nats: nats-server 2.15.2, client nats 3.4.0; in files.",
      "Not measured, because the broker could not be had: redis.",
      "- not measured, it failed: publish, x: it broke.",
      "- not measured, no row of redis: redis can't be had: no redis-server on the path.",
      "- latency, x: bare 100/s, 25 % of 400/s.",
    ])
      expect(page.split("\n")).toContain(line);
    expect(page).toMatch(/^# Benchmarks\n\nWritten by `npm run bench` on 2026-11-21, in 18 minutes: 2 cores\./);
    expect([...page.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(["memory", "nats", "redis"]);
  });

  it("keeps its pace where a latency is measured, whatever a message takes", async () => {
    const settings = { driver: "", directory: "", bytes: 1, window: 1, messages: 20, everyMs: 4 };
    const started = performance.now();
    let last = started;
    const { value } = await latencies(settings, async (at) => {
      last = performance.now();
      await new Promise((resolve) => setTimeout(resolve, 2));
      return at + 1;
    });
    expect(value).toBe(10);
    expect(last - started).toBeGreaterThan(19 * 4 - 2); // without a pause: 40 ms
  });
});

describe("the options of the bench", () => {
  it("take one driver or several, in their own order", () => {
    expect(benchOptions([])?.drivers).toEqual(["memory", "sqlite", "postgres", "nats", "redis", "rabbitmq", "kafka"]);
    expect(benchOptions(["--driver", "nats"])?.drivers).toEqual(["nats"]);
    expect(benchOptions(["--driver", "redis", "--driver", "memory"])?.drivers).toEqual(["memory", "redis"]);
    expect(() => benchOptions(["--driver", "nats", "--driver", "pigeon"])).toThrow(/--driver must be one of memory, /);
  });

  it("write the page of a whole run only", () => {
    expect(benchOptions(["--write-docs"])?.writeDocs).toBe(true);
    for (const part of [["--driver", "nats"], ["--only", "publish"], ["--quick"]])
      expect(() => benchOptions(["--write-docs", ...part])).toThrow("--write-docs goes with neither");
  });
});
