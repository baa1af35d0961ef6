import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { testDriver } from "../../src/testing/index.ts";

const leaseMs = 1_500;

testDriver(
  { describe, it },
  {
    name: "sqlite",
    capabilities: sqlite({ path: ":unused:" }).capabilities,
    ownDriver: true,
    leaseMs,
    async create() {
      const folder = await mkdtemp(join(tmpdir(), "omnibus-"));
      const config = () => ({ driver: sqlite({ path: join(folder, "bus.db"), leaseMs }) });
      return { config, dispose: () => rm(folder, { recursive: true }) };
    },
  },
);
