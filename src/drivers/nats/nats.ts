import type { ConnectContext, Driver, DriverConnection } from "../../driver.ts";
import { capabilities } from "./capabilities.ts";
import { checkServer } from "./check-server.ts";
import { NatsConnection } from "./connection.ts";
import { classify } from "./errors.ts";
import { openClient } from "./open-client.ts";
import { unlessAborted } from "../../internal/unless-aborted.ts";
import { resolveOptions, type NatsOptions, type ResolvedOptions } from "./options.ts";
import { Session } from "./session.ts";

/**
 * NATS JetStream, from server 2.10 on. What it maps to what, what it promises and what it costs at the server stands in
 * docs/nats.md.
 *
 * @example
 * const bus = await connect({ driver: nats({ servers: "nats://localhost:4222" }) });
 */
export function nats(options: NatsOptions = {}): Driver {
  const resolved = resolveOptions(options);
  return { name: "nats", capabilities, classify, connect: (context) => connect(resolved, context) };
}

async function connect(options: ResolvedOptions, context: ConnectContext): Promise<DriverConnection> {
  context.signal.throwIfAborted();
  const client = options.connection ?? (await openClient(options, context));
  let session: Session | undefined;
  try {
    checkServer(client.info);
    session = new Session(client, options, context);
    const connection = new NatsConnection(session, context);
    try {
      await unlessAborted(connection.start(), context.signal);
    } catch (error) {
      await connection.close(AbortSignal.abort());
      throw error;
    }
    return connection;
  } catch (error) {
    await session?.close(AbortSignal.abort());
    if (options.connection === undefined) await client.close().catch(() => undefined); // why it can't be used is thrown
    throw error;
  }
}
