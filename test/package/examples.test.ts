import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { testBroker } from "../support/test-broker.ts";

const brokers = { nats: await testBroker("nats"), redis: await testBroker("redis") };
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

describe.each(Object.entries(brokers))("examples over %s, one after the other on one server", (_name, broker) => {
  it.skipIf(broker === undefined).each(Object.entries(lastLines))(
    "%s ends with its last line and exits with 0",
    { timeout: 90_000 },
    async (example, line) => {
      // The last one kills a worker, which is missed after a lease.
      expect(await lastLineOf(example, `${broker!.url}?leaseMs=2000`)).toBe(line);
    },
  );
});
