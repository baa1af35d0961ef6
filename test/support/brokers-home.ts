import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, vi } from "vitest";

/** For a test file that looks at all brokers that run: it sees its own alone. Children inherit it. */
export function brokersHome(): string {
  const folder = mkdtempSync(join(tmpdir(), "omnibus-brokers-test-"));
  vi.stubEnv("OMNIBUS_BROKERS_DIR", folder);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
