import { DriverError } from "../../internal/driver-error.ts";
import type { ServerInfo } from "./client.ts";
import { ServerVersion } from "./version.ts";

/** Rejects a server that the driver can't work with, by what it says of itself. */
export function checkServer(info: ServerInfo | undefined): void {
  if (info === undefined)
    throw new DriverError("BUS_CONNECTION", "nats: the connection is not open", { retryable: true });
  const version = new ServerVersion(info.version);
  if (!version.atLeast(2, 10))
    throw new DriverError("BUS_UNSUPPORTED", `nats: the server has version ${version.text}; at least 2.10 is needed`);
  if (info.jetstream !== true)
    throw new DriverError("BUS_UNSUPPORTED", "nats: the server runs without JetStream: start it with -js");
}
