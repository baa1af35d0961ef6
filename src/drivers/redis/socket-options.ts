import { readFile } from "node:fs/promises";
import type { ResolvedOptions } from "./options.ts";
import type { ServerAddress } from "./server-url.ts";

/** What the client needs to open one connection, which it does not open again by itself. */
export async function socketOptions(
  { tls, connectTimeoutMs }: Pick<ResolvedOptions, "tls" | "connectTimeoutMs">,
  address?: Pick<ServerAddress, "host" | "port">,
): Promise<object> {
  const file = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : await readFile(path);
  return {
    ...(address !== undefined && { host: address.host, port: address.port }),
    connectTimeout: connectTimeoutMs,
    reconnectStrategy: false,
    ...(tls !== undefined && {
      tls: true,
      ca: await file(tls.caFile),
      cert: await file(tls.certFile),
      key: await file(tls.keyFile),
    }),
  };
}
