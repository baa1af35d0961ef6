import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { sqliteUnderTest } from "./sqlite-member.ts";

testRecovery({ describe, it }, sqliteUnderTest);
