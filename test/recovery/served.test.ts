import { describe, it } from "vitest";
import { testRecovery } from "../../src/testing/index.ts";
import { servedUnderTest } from "./served-member.ts";

// No driver of ours: what shows that the suite itself works, on a broker that is always to be had.
testRecovery({ describe, it }, servedUnderTest());
