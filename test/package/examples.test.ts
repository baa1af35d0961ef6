import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { testBroker } from "../support/test-broker.ts";

/** The last one kills a worker, which is missed after a lease: as short as it can be. */
const leases = {
  nats: "leaseMs=2000",
  redis: "leaseMs=2000",
  postgres: "leaseMs=2000",
  rabbitmq: "leaseMs=2000",
  kafka: "sessionTimeoutMs=6000",
} as const;
const folder = await mkdtemp(join(tmpdir(), "omnibus-examples-"));
afterAll(() => rm(folder, { recursive: true }));
const urls: (readonly [string, string | undefined])[] = [["sqlite", `sqlite:${join(folder, "bus.db")}`]];
for (const name of Object.keys(leases) as (keyof typeof leases)[]) {
  const broker = await testBroker(name);
  urls.push([name, broker && `${broker.url}?${leases[name]}`]);
}
const lastLines: Readonly<Record<string, string>> = {
  "01-hello.ts": "hello, world",
  "02-typed-events.ts": "2 orders handled",
  "03-retries-and-dead-letters.ts": "shipped o-1, o-2, o-3; 0 dead letters left",
  "04-request-reply.ts": "BUS_REMOTE (there is no such thing), BUS_TIMEOUT, BUS_NO_RESPONDER",
  "05-two-processes.ts": "300 published, 300 handled, 0 lost",
};

/** Rejects when the exit code is not 0, or after a minute. */
async function lastLineOf(example: string, ...args: string[]): Promise<string | undefined> {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [`examples/${example}`, ...args], { timeout: 60_000 });
  return stdout.trimEnd().split("\n").at(-1);
}

describe("examples", () => {
  it("are all tested", () => {
    const examples = readdirSync("examples").filter((name) => /^\d+-.+\.ts$/.test(name));
    expect(examples.toSorted()).toEqual(Object.keys(lastLines));
  });

  it.each(Object.entries(lastLines))(
    "%s ends with its last line and exits with 0",
    { timeout: 90_000 },
    async (example, line) => {
      expect(await lastLineOf(example)).toBe(line);
    },
  );
});

describe.each(urls)("examples over %s, one after the other on one server", (_name, url) => {
  it.skipIf(url === undefined).each(Object.entries(lastLines))(
    "%s ends with its last line and exits with 0",
    { timeout: 90_000 },
    async (example, line) => {
      expect(await lastLineOf(example, url!)).toBe(line);
    },
  );
});
