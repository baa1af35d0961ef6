import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { natsUnderTest } from "./nats-member.ts";

for (const name of ["nats", "nats@2.10"] as const) {
  const broker = await testBroker("nats", { own: true, ...(name === "nats" ? {} : { release: "2.10" as const }) });
  await broker?.[Symbol.asyncDispose]();
  if (broker === undefined) describe.skipIf(true)(`${name} recovers`, () => undefined);
  else testRecovery({ describe, it }, natsUnderTest(name));
}
