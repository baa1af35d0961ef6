/** As in a project that installed no client. */
import { registerHooks } from "node:module";

const clients = ["redis", "pg", "amqplib", "@platformatic/kafka"];
const isClient = (specifier) => clients.includes(specifier) || specifier.startsWith("@nats-io/");

registerHooks({
  resolve(specifier, context, next) {
    if (!isClient(specifier)) return next(specifier, context);
    throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: "ERR_MODULE_NOT_FOUND" });
  },
});
