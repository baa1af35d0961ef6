import type { ConnectContext, Driver, DriverConnection } from "../../driver.ts";
import { reachAdvertised } from "./advertised.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { loadClient } from "./client.ts";
import { KafkaConnection } from "./connection.ts";
import { classify } from "./errors.ts";
import { type Host, Link } from "./link.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { loginOf, resolveOptions, type ResolvedOptions, tlsOf } from "./options.ts";
import { probe, type Probed } from "./probe.ts";
import { Session } from "./session.ts";
import { unlessAborted } from "../../internal/unless-aborted.ts";

/**
 * Kafka, from 4.1 on, by `@platformatic/kafka`. What it maps to what, what it promises and what it costs at the broker stands in
 * docs/kafka.md.
 *
 * @example
 * const bus = await connect({ driver: kafka({ brokers: "localhost:9092" }) });
 */
export function kafka(options: KafkaOptions = {}): Driver {
  const resolved = resolveOptions(options);
  return {
    name: "kafka",
    capabilities: capabilitiesOf(resolved),
    classify,
    connect: (context) => connect(resolved, context),
  };
}

async function connect(options: ResolvedOptions, context: ConnectContext): Promise<DriverConnection> {
  const { clock, signal } = context;
  signal.throwIfAborted();
  const module = await loadClient();
  const clientId = options.clientId ?? `${context.prefix}/${context.member.name}`;
  const tls = tlsOf(options);
  const login = await loginOf(options);
  let probed: Probed | undefined;
  let reason: unknown;
  let host: Host | undefined;
  for (const each of options.servers.hosts) {
    host = each;
    try {
      probed = await probe(
        each,
        { clientId, tls, login, connectTimeoutMs: options.connectTimeoutMs },
        { module, clock, signal },
      );
      break;
    } catch (error) {
      reason ??= error;
      if (!classify(error).retryable) throw error;
    }
  }
  if (probed === undefined || host === undefined) throw reason;
  const { metadata, sasl } = probed;
  const { connectTimeoutMs } = options;
  const open = async (to: Host, until: AbortSignal): Promise<Link> => {
    // a password and files that are renewed
    const now = sasl === undefined ? undefined : { ...sasl, password: (await loginOf(options))?.password ?? "" };
    const link = { clientId, tls: tlsOf(options), sasl: now, connectTimeoutMs };
    return await Link.open(module, to, link, clock, until);
  };
  await reachAdvertised(host, metadata.brokers, open, clock, signal);
  const session = new Session({ module, options, context, metadata, open });
  const connection = new KafkaConnection(session);
  try {
    await unlessAborted(connection.start(), signal);
    return connection;
  } catch (error) {
    await connection.close(AbortSignal.abort());
    throw error;
  }
}
