import { describe, it } from "vitest";
import { memory } from "../../src/drivers/memory/index.ts";
import { testDriver } from "../../src/testing/index.ts";

testDriver(
  { describe, it },
  {
    name: "memory",
    capabilities: memory().capabilities,
    ownDriver: true,
    leaseMs: 200, // there are none: members leave by closing
    async create() {
      const driver = memory();
      return { config: () => ({ driver }), dispose: async () => undefined };
    },
  },
);
