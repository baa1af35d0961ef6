import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { kafkaUnderTest } from "./kafka-member.ts";

const broker = await testBroker("kafka", { own: true });
await broker?.[Symbol.asyncDispose]();
if (broker === undefined) describe.skipIf(true)("kafka recovers", () => undefined);
else testRecovery({ describe, it }, kafkaUnderTest);
