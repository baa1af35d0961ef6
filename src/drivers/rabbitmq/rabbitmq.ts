import type { Driver } from "../../driver.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { RabbitMqConnection } from "./connection.ts";
import { classify } from "./errors.ts";
import { type RabbitMqOptions, resolveOptions } from "./options.ts";

/**
 * RabbitMQ, from server 3.10 on. What it maps to what, what it promises and what it costs at the server stands in
 * docs/rabbitmq.md.
 *
 * @example
 * const bus = await connect({ driver: rabbitmq({ url: "amqp://localhost:5672" }) });
 */
export function rabbitmq(options: RabbitMqOptions = {}): Driver {
  const resolved = resolveOptions(options);
  return {
    name: "rabbitmq",
    capabilities: capabilitiesOf(resolved),
    classify,
    async connect(context) {
      context.signal.throwIfAborted();
      return await RabbitMqConnection.open(resolved, context);
    },
  };
}
