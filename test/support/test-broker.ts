import { afterAll } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { type BrokerName, wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { BrokerUnavailable } from "../../scripts/brokers/find-broker.ts";
import { startBroker, type StartOptions } from "../../scripts/brokers/start-broker.ts";

/** `OMNIBUS_TEST_REQUIRE=nats,redis`: what must not be skipped. Throws for a name that no broker has. */
function isRequired(name: string): boolean {
  const names = (process.env["OMNIBUS_TEST_REQUIRE"] ?? "").split(",").map((each) => each.trim());
  for (const each of names) if (each !== "") wantedBroker(each);
  return names.includes(name);
}

/** What a server said of its end, or what it said last. */
function lastWords(log: string): string {
  const crash = /^(?:panic|fatal error|SIG[A-Z]+)\b|REDIS BUG REPORT START/m.exec(log);
  return crash === null ? log.trimEnd().split("\n").slice(-20).join("\n") : log.slice(crash.index, crash.index + 8_000);
}

/** One of its servers that did not live to see the end is what the file failed for, or should have. */
async function ended(broker: Broker): Promise<void> {
  const died: string[] = [];
  try {
    for (const server of broker.servers) if (await server.endedByItself()) died.push(lastWords(await server.logs()));
  } finally {
    await broker[Symbol.asyncDispose]();
  }
  if (died.length > 0) throw new Error(`${broker.label} ended by itself:\n${died.join("\n\n")}`);
}

/**
 * A broker for the tests of a file, at its top: `const nats = await testBroker("nats")`, then `describe.skipIf(nats ===
 * undefined)`. It ends with the file. Undefined when it can't be had, which is said in a line; rejects when it is required.
 */
export async function testBroker<Name extends BrokerName>(
  name: Name,
  options: StartOptions<Name> = {},
): Promise<Broker | undefined> {
  try {
    const broker = await startBroker(name, { say: (line) => console.info(line), ...options });
    afterAll(() => ended(broker));
    return broker;
  } catch (error) {
    if (!(error instanceof BrokerUnavailable) || isRequired(name)) throw error;
    console.info(`skips tests on ${name}: ${error.message}`);
    return undefined;
  }
}
