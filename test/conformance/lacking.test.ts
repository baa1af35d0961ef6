import { describe, expect, it, vi } from "vitest";
import type { Driver } from "../../src/driver.ts";
import { testDriver } from "../../src/testing/index.ts";
import type { Lab } from "../../src/testing/lab.ts";
import { lack, type Need, type Parameters, type TestSpec } from "../../src/testing/suite.ts";
import { type DriverUnderTest, runTest } from "../../src/testing/test-driver.ts";
import { topics } from "../../src/testing/topics.ts";
import { declaring, lacking } from "../support/lacking-driver.ts";
import { lying } from "../support/lying-driver.ts";

const administration = ["trim", "reset", "recover"] as const;
const isAdministration = (need: Need): need is (typeof administration)[number] =>
  (administration as readonly Need[]).includes(need);

function underTest(name: string, needs: readonly Need[], make: () => Driver): DriverUnderTest {
  return {
    name,
    capabilities: declaring(needs),
    ownDriver: true,
    unsupported: needs.filter(isAdministration),
    leaseMs: 200,
    async create() {
      const driver = make();
      return { config: () => ({ driver }), dispose: async () => undefined };
    },
  };
}

interface CounterTest {
  readonly need: Need;
  readonly spec: TestSpec<Parameters>;
  readonly run: (driver: DriverUnderTest) => Promise<void>;
}

const counterTests: CounterTest[] = [];
for (const declare of Object.values(topics))
  declare({
    test<P extends Parameters>(spec: TestSpec<P>, body: (lab: Lab, parameters: P) => Promise<void>): void {
      if (spec.lacks === undefined) return;
      counterTests.push({ need: spec.lacks, spec, run: (driver) => runTest(driver, spec, body, 30_000) });
    },
  });

/** What the counter-test says of a driver that has it after all. `restart` and `own driver` are the harness's to have. */
const exposed: Readonly<Record<Exclude<Need, "restart" | "own driver" | "fencing">, RegExp>> = {
  durable: /connected it promises it/,
  groups: /and yet: it made a group/,
  replay: /and yet: it started a group in the past/,
  order: /the next best, where nothing was asked/, // it makes an ordered group by itself
  "publish order": /deep-equal[^]*'rejected',\n[^]*'rejected',\n/, // the later ones too
  "publish retry": /connected it promises it/,
  delay: /and yet it stored a message/,
  dedupe: /true !== false/, // the second receipt says duplicate
  "no-responder": /BUS_NO_RESPONDER .* instead of BUS_TIMEOUT/,
  priorities: /deep-equal[^]*'critical'/,
  "ordered fencing": /'stale'/,
  "loss counts": /are counted/,
  transactions: /connected it promises it/,
  schedules: /resolved, and should have been refused/,
  state: /undefined|Missing expected rejection/,
  trim: /resolved, and should have been refused/,
  reset: /resolved, and should have been refused/,
  recover: /resolved, and should have been refused/,
};

describe("what a driver can lack", () => {
  it("has a counter-test each", () => {
    expect(new Set(counterTests.map(({ need }) => need))).toEqual(new Set(Object.keys(exposed)));
  });

  it.each(counterTests)(
    "$need: memory without it passes: $spec.name",
    { timeout: 30_000 },
    async ({ need, spec, run }) => {
      const driver = underTest(`memory without ${need}`, [need], () => lacking([need]));
      expect(lack(need, driver)).toBeDefined();
      expect(spec.needs?.filter((other) => lack(other, driver) !== undefined) ?? []).toEqual([]);
      await run(driver);
    },
  );

  it.each(counterTests)(
    "$need: one that has it and says that it has not fails: $spec.name",
    { timeout: 30_000 },
    async ({ need, run }) => {
      const driver = underTest(`memory that lies about ${need}`, [need], () => lying(need));
      await expect(run(driver)).rejects.toThrow(exposed[need as keyof typeof exposed]);
    },
  );
});

// The skips themselves are in the names of the tests.
const said = vi.spyOn(console, "info").mockImplementation(() => undefined);
const all = Object.keys(exposed) as Need[];
for (const [name, needs] of [
  ["memory without anything", all],
  ["memory without anything but groups", all.filter((need) => need !== "groups")],
] as const)
  testDriver(
    { describe, it },
    underTest(name, needs, () => lacking(needs)),
  );
said.mockRestore();
