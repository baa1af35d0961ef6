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
    afterAll(() => broker[Symbol.asyncDispose]());
    return broker;
  } catch (error) {
    if (!(error instanceof BrokerUnavailable) || isRequired(name)) throw error;
    console.info(`skips tests on ${name}: ${error.message}`);
    return undefined;
  }
}
