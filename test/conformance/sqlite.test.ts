import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { testDriver } from "../../src/testing/index.ts";
import { isFull } from "../../src/testing/settings.ts";

// fifty members at once on a busy machine stand still for longer
const leaseMs = isFull ? 4_000 : 1_500;

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
