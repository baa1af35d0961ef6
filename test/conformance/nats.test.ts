import { describe } from "vitest";
import { natsConformance } from "../support/nats-conformance.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("nats", { own: true });

describe.skipIf(broker === undefined)("on a server of its own", () => {
  natsConformance("nats", broker);
});
