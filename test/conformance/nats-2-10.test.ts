import { describe } from "vitest";
import { natsConformance } from "../support/nats-conformance.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("nats", { own: true, release: "2.10" });

describe.skipIf(broker === undefined)("on a server of its own", () => {
  natsConformance("nats@2.10", broker);
});
