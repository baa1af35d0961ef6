import type { Driver } from "../../driver.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { RedisConnection } from "./connection.ts";
import { classify } from "./errors.ts";
import { resolveOptions, type RedisOptions } from "./options.ts";

/**
 * Redis Streams, from server 7.0 on. What it maps to what, what it promises and what it costs at the server stands in
 * docs/redis.md.
 *
 * @example
 * const bus = await connect({ driver: redis({ url: "redis://localhost:6379" }) });
 */
export function redis(options: RedisOptions = {}): Driver {
  const resolved = resolveOptions(options);
  return {
    name: "redis",
    capabilities: capabilitiesOf(resolved),
    classify,
    async connect(context) {
      context.signal.throwIfAborted();
      return await RedisConnection.open(resolved, context);
    },
  };
}
