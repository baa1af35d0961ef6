import { readFile } from "node:fs/promises";
import { DriverError } from "../../internal/driver-error.ts";
import { type AmqpConnection, loadClient } from "./client.ts";
import { notConnected } from "./errors.ts";
import type { ResolvedOptions, RabbitMqTlsOptions } from "./options.ts";
import { gather } from "./gather.ts";
import type { ServerAddress } from "./server-url.ts";

/** One connection to the first server that answers. A rejected one leaves nothing open. */
export async function openConnection(
  options: ResolvedOptions,
  name: string,
  signal: AbortSignal,
): Promise<AmqpConnection> {
  let failure: unknown = notConnected();
  for (const server of options.servers) {
    try {
      return await openAt(options, server, name, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}

async function openAt(
  options: ResolvedOptions,
  server: ServerAddress,
  name: string,
  signal: AbortSignal,
): Promise<AmqpConnection> {
  const client = await loadClient();
  const password = typeof options.password === "function" ? await options.password() : options.password;
  const files = options.tls === undefined ? {} : await filesOf(options.tls);
  signal.throwIfAborted();
  const opening = client.connect(
    {
      protocol: options.tls === undefined ? "amqp" : "amqps",
      hostname: server.host,
      port: server.port,
      username: options.username,
      password,
      vhost: encodeURIComponent(options.vhost),
      heartbeat: Math.round(options.heartbeatMs / 1_000),
    },
    {
      noDelay: true, // without it each question waits for the other side's delayed acknowledgement
      timeout: options.connectTimeoutMs,
      clientProperties: { connection_name: name },
      ...files,
    },
  );
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    const connection = await Promise.race([opening, aborted.promise]);
    connection.on("error", () => undefined); // `close` follows it
    gather(connection.connection.stream);
    return connection;
  } catch (error) {
    opening.then(
      (late) => void late.close().catch(() => undefined),
      () => undefined,
    );
    throw explained(error, options);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** What the client says in words alone. */
function explained(error: unknown, { vhost }: ResolvedOptions): unknown {
  const text = error instanceof Error ? error.message : "";
  if (/Expected ConnectionOpenOk/.test(text))
    return new DriverError(
      "BUS_AUTHENTICATION",
      `rabbitmq: there is no virtual host "${vhost}", or the user has no right to it`,
      { cause: error },
    );
  if (/\(ACCESS[-_]REFUSED\)|Handshake terminated by server: 403/.test(text))
    return new DriverError("BUS_AUTHENTICATION", "rabbitmq: the server refuses the user or the password", {
      cause: error,
    });
  if (/Socket closed abruptly|Client network socket disconnected|socket hang up/i.test(text))
    return new DriverError("BUS_CONNECTION", "rabbitmq: the server closed the line during the handshake", {
      retryable: true,
      cause: error,
    });
  return error;
}

async function filesOf({ caFile, certFile, keyFile }: RabbitMqTlsOptions): Promise<Readonly<Record<string, unknown>>> {
  const read = async (path: string | undefined, option: string): Promise<Buffer | undefined> => {
    try {
      return path === undefined ? undefined : await readFile(path);
    } catch (cause) {
      throw new DriverError("BUS_INVALID_OPTION", `rabbitmq: the file of "${option}" can't be read`, { cause });
    }
  };
  const [ca, cert, key] = [
    await read(caFile, "caFile"),
    await read(certFile, "certFile"),
    await read(keyFile, "keyFile"),
  ];
  return {
    ...(ca === undefined ? {} : { ca: [ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
