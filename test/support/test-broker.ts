import { afterAll } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import { brokerKinds, type BrokerName, wantedBroker } from "../../scripts/brokers/broker-name.ts";
import { BrokerUnavailable, findBroker } from "../../scripts/brokers/find-broker.ts";
import { startBroker, type StartOptions } from "../../scripts/brokers/start-broker.ts";
import { lastWords } from "./last-words.ts";

/** `OMNIBUS_TEST_REQUIRE=nats,redis`: what must not be skipped. Throws for a name that no broker has. */
function isRequired(name: string): boolean {
  const names = (process.env["OMNIBUS_TEST_REQUIRE"] ?? "").split(",").map((each) => each.trim());
  for (const each of names) if (each !== "") wantedBroker(each);
  return names.includes(name);
}

/** One of its servers that did not live to see the end is what the file failed for, or should have. */
export async function ended(name: BrokerName, broker: Broker): Promise<void> {
  const { readyLine } = brokerKinds[name]!;
  const died: string[] = [];
  try {
    for (const server of broker.servers)
      if (await server.endedByItself()) died.push(lastWords(await server.logs(), readyLine));
  } finally {
    await broker[Symbol.asyncDispose]();
  }
  if (died.length > 0) throw new Error(`${broker.label} ended by itself:\n${died.join("\n\n")}`);
}

const say = (line: string): void => console.info(line);

/** Undefined when it can't be had, which is said in a line; rejects when it is required. */
async function ifAvailable<T>(name: BrokerName, get: () => Promise<T>): Promise<T | undefined> {
  try {
    return await get();
  } catch (error) {
    if (!(error instanceof BrokerUnavailable) || isRequired(name)) throw error;
    console.info(`skips tests on ${name}: ${error.message}`);
    return undefined;
  }
}

/** For a file that starts its own, and would have to wait for one that it does not need. */
export async function hasBroker(name: BrokerName): Promise<boolean> {
  return (await ifAvailable(name, () => findBroker(wantedBroker(name), say))) !== undefined;
}

/**
 * A broker for the tests of a file, at its top: `const nats = await testBroker("nats")`, then `describe.skipIf(nats ===
 * undefined)`. It ends with the file. Undefined when it can't be had, which is said in a line; rejects when it is required.
 */
export async function testBroker<Name extends BrokerName>(
  name: Name,
  options: StartOptions<Name> = {},
): Promise<Broker | undefined> {
  const broker = await ifAvailable(name, () => startBroker(name, { say, ...options }));
  if (broker !== undefined) afterAll(() => ended(name, broker));
  return broker;
}
