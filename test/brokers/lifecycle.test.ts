import { brokersHome } from "../support/brokers-home.ts";
import { testBroker } from "../support/test-broker.ts";
import { lifecycleOf } from "./lifecycle-cases.ts";

// RabbitMQ and Kafka, whose starts take seconds, go through the same in files of their own, beside this one.
const home = brokersHome();
for (const name of ["nats", "redis", "postgres"] as const) {
  lifecycleOf(name, await testBroker(name, { own: true }), home);
}
