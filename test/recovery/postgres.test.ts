import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { testBroker } from "../support/test-broker.ts";
import { postgresUnderTest } from "./postgres-member.ts";

const broker = await testBroker("postgres", { own: true });
await broker?.[Symbol.asyncDispose]();
if (broker === undefined) describe.skipIf(true)("postgres recovers", () => undefined);
else testRecovery({ describe, it }, postgresUnderTest);
