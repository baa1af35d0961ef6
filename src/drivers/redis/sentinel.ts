import { DriverError } from "../../internal/driver-error.ts";
import type { ClientModule } from "./client.ts";
import { classify } from "./errors.ts";
import type { ResolvedOptions } from "./options.ts";
import type { ServerAddress } from "./server-url.ts";
import { socketOptions } from "./socket-options.ts";

/**
 * Who is the primary, by the first sentinel that answers. The client's own sentinel mode sends what was under way over a
 * failover again, by itself, so that what is unknown would be hidden.
 */
export async function findPrimary(
  module: ClientModule,
  { options, nodes }: NonNullable<ResolvedOptions["sentinel"]>,
  { tls, connectTimeoutMs }: ResolvedOptions,
  signal: AbortSignal,
): Promise<Pick<ServerAddress, "host" | "port">> {
  let cause: unknown;
  for (const node of nodes) {
    signal.throwIfAborted();
    const client = module.createClient({
      RESP: 2,
      disableOfflineQueue: true,
      username: options.username,
      password: options.password,
      socket: await socketOptions({ tls: node.tls ? tls : undefined, connectTimeoutMs }, node),
      commandOptions: { timeout: connectTimeoutMs },
    });
    client.on("error", (error) => (cause = error));
    const destroy = (): void => client.destroy();
    signal.addEventListener("abort", destroy, { once: true });
    try {
      await client.connect();
      const answer = await client.sendCommand(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", options.name]);
      const [primary, at] = (answer ?? []) as readonly string[];
      if (primary !== undefined) return { host: primary, port: Number(at) };
      cause = new DriverError("BUS_NOT_FOUND", `redis: the sentinels know no primary "${options.name}"`, {
        retryable: true,
      });
    } catch (error) {
      cause = error;
    } finally {
      signal.removeEventListener("abort", destroy);
      if (client.isOpen) client.destroy();
    }
  }
  const refused = classify(cause).code === "BUS_AUTHENTICATION";
  throw new DriverError(
    refused ? "BUS_AUTHENTICATION" : "BUS_CONNECTION",
    `redis: ${refused ? "the sentinels refuse the user" : "no sentinel named a primary"}`,
    { retryable: !refused, cause },
  );
}
