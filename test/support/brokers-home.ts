import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, vi } from "vitest";
import { listInstances, removeInstance } from "../../scripts/brokers/instances.ts";

/** For a test file that looks at all brokers that run: it sees its own alone, and leaves none. Children inherit it. */
export function brokersHome(): string {
  const folder = mkdtempSync(join(tmpdir(), "omnibus-brokers-test-"));
  vi.stubEnv("OMNIBUS_BROKERS_DIR", folder);
  afterAll(() => {
    vi.stubEnv("OMNIBUS_BROKERS_DIR", folder);
    for (const instance of listInstances()) removeInstance(instance);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}
