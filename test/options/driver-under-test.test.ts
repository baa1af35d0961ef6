import { describe, expect, it, vi } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { type DriverUnderTest, testDriver } from "../../src/testing/index.ts";
import type { Lab } from "../../src/testing/lab.ts";
import { runTest } from "../../src/testing/test-driver.ts";

const driver: DriverUnderTest = {
  name: "mine",
  capabilities: memory().capabilities,
  create: async () => {
    const own = memory();
    return { config: () => ({ driver: own }), dispose: async () => undefined };
  },
};

/** What the suite declares for a driver, without running it. */
function declared(options: Partial<DriverUnderTest>): { readonly groups: readonly string[]; readonly skipped: string } {
  const said = vi.spyOn(console, "info").mockImplementation(() => undefined);
  const groups: string[] = [];
  const skipped: string[] = [];
  testDriver(
    {
      describe: (name, body) => {
        groups.push(name);
        body();
      },
      it: Object.assign(() => undefined, { skip: (name: string) => void skipped.push(name) }),
    },
    { ...driver, ...options },
  );
  said.mockRestore();
  return { groups, skipped: skipped.join("\n") };
}

describe("what the conformance suite is told of a driver", () => {
  it("option: DriverUnderTest.name is what its tests are called", () => {
    expect(declared({ name: "mine" }).groups[0]).toBe("mine");
    expect(declared({ name: "yours" }).groups[0]).toBe("yours");
  });

  it("option: DriverUnderTest.capabilities choose what is skipped", () => {
    const capabilities = { ...driver.capabilities, replay: false };
    expect(declared({ capabilities }).skipped).toContain("mine declares replay: false");
    expect(declared({}).skipped).not.toContain("replay");
  });

  it("option: DriverUnderTest.restart runs what restarts the broker", () => {
    const capabilities = { ...driver.capabilities, durable: true };
    expect(declared({ capabilities }).skipped).toContain("has no broker to restart");
    expect(declared({ capabilities, restart: true }).skipped).not.toContain("has no broker to restart");
  });

  it("option: DriverUnderTest.ownDriver runs what stands between the driver and the bus", () => {
    expect(declared({}).skipped).toContain("is made from a url");
    expect(declared({ ownDriver: true }).skipped).not.toContain("is made from a url");
  });

  it("option: DriverUnderTest.unsupported skips the administration that the broker lacks", () => {
    expect(declared({ unsupported: ["trim"] }).skipped).toContain("has no trim");
    expect(declared({}).skipped).not.toContain("has no trim");
  });

  it("option: DriverUnderTest.create makes a world for each test", async () => {
    const create = vi.fn(() => driver.create());
    for (const name of ["one", "another"])
      await runTest({ ...driver, create }, { name }, async (lab) => void (await lab.bus()), 30_000);
    expect(create).toHaveBeenCalledTimes(2);
  });

  it("option: DriverUnderTest.leaseMs is how long a test waits for what a lease holds", async () => {
    vi.stubEnv("OMNIBUS_FULL", "1");
    vi.resetModules();
    const { Lab: FullLab } = (await import("../../src/testing/lab.ts")) as { readonly Lab: typeof Lab };
    vi.unstubAllEnvs();
    const quietMs = async (leaseMs?: number): Promise<number> => {
      await using lab = await FullLab.open({ ...driver, leaseMs }, "quiet");
      return lab.quietMs;
    };
    expect([await quietMs(200), await quietMs(1_000), await quietMs()]).toEqual([260, 1_300, 3_000]);
  });
});
