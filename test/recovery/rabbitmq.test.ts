import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { rabbitUnderTest } from "./rabbitmq-member.ts";

const broker = await testBroker("rabbitmq", { own: true });
await broker?.[Symbol.asyncDispose]();
if (broker === undefined) describe.skipIf(true)("rabbitmq recovers", () => undefined);
else testRecovery({ describe, it }, rabbitUnderTest);
