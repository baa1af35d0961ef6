import { describe, expect, it } from "vitest";
import type { Lab } from "../../src/testing/lab.ts";
import { lack, type Parameters, type TestSpec } from "../../src/testing/suite.ts";
import { type DriverUnderTest, runTest } from "../../src/testing/test-driver.ts";
import { topics } from "../../src/testing/topics.ts";
import { RestartableBroker } from "../support/restartable-broker.ts";

const timeout = 120_000;

const driver: DriverUnderTest = {
  name: "memory behind a line that breaks",
  capabilities: new RestartableBroker().capabilities,
  ownDriver: true,
  restart: true,
  leaseMs: 200,
  async create() {
    const broker = new RestartableBroker();
    return {
      config: () => ({ driver: broker.driver, reconnect: { minMs: 5, maxMs: 50 } }),
      restart: () => broker.restart(),
      dispose: async () => undefined,
    };
  },
};

const tests: { readonly name: string; readonly run: () => Promise<void> }[] = [];
for (const declare of Object.values(topics))
  declare({
    test<P extends Parameters>(spec: TestSpec<P>, body: (lab: Lab, parameters: P) => Promise<void>): void {
      if (spec.needs?.some((need) => need === "restart" || need === "durable") !== true) return;
      if (spec.needs.some((need) => lack(need, driver) !== undefined)) return;
      tests.push({ name: spec.name, run: () => runTest(driver, spec, body, timeout) });
    },
  });

/** No driver so far has a broker that can be restarted: memory and sqlite skip these. */
describe("the suite's tests of a broker that is restarted", () => {
  it("are there", () => expect(tests.length).toBeGreaterThan(3));

  it.each(tests)("$name", { timeout }, async ({ run }) => {
    expect(await run()).toBeUndefined();
  });
});
