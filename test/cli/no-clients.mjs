/** As in a project that installed neither client. */
import { registerHooks } from "node:module";

const isClient = (specifier) => specifier === "redis" || specifier.startsWith("@nats-io/");

registerHooks({
  resolve(specifier, context, next) {
    if (!isClient(specifier)) return next(specifier, context);
    throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: "ERR_MODULE_NOT_FOUND" });
  },
});
