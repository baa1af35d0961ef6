import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { redisUnderTest } from "./redis-member.ts";

const broker = await testBroker("redis", { own: true });
await broker?.[Symbol.asyncDispose]();
if (broker === undefined) describe.skipIf(true)("redis recovers", () => undefined);
else testRecovery({ describe, it }, redisUnderTest);
