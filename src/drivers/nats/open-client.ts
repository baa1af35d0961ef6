import { unlessAborted } from "../../internal/unless-aborted.ts";
import { readFile } from "node:fs/promises";
import type { Clock } from "../../clock.ts";
import type { ConnectContext } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { loadClient, type Authenticator, type NatsClient } from "./client.ts";
import type { ResolvedOptions } from "./options.ts";
import { tlsRefusal } from "./tls-probe.ts";

const patienceMs = 500;

/** One try. A rejected one leaves nothing open. */
export async function openClient(options: ResolvedOptions, context: ConnectContext): Promise<NatsClient> {
  const peer = await loadClient();
  const { servers, tls } = options;
  let authenticator: Authenticator | undefined;
  if (options.nkey !== undefined)
    authenticator = tried("nkey", peer.nkeyAuthenticator(new TextEncoder().encode(options.nkey)));
  if (options.credentials !== undefined)
    authenticator = tried("credentials", peer.credsAuthenticator(await credentials(options.credentials)));
  context.signal.throwIfAborted();
  const connecting = peer.connect({
    servers: [...servers.hosts],
    name: context.name,
    ...(servers.user === undefined ? {} : { user: servers.user, pass: servers.password }),
    ...(servers.token === undefined ? {} : { token: servers.token }),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
    timeout: options.requestTimeoutMs,
    pingInterval: options.pingMs,
    maxPingOut: 2,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    reconnectJitterTLS: 250,
    waitOnFirstConnect: false,
    noAsyncTraces: true,
  });
  const refusal = refusedLate(options, context.clock);
  try {
    return await unlessAborted(Promise.race([connecting, refusal.found]), context.signal);
  } catch (error) {
    connecting.then((late) => late.close()).catch(() => undefined); // why it failed is told below
    if (context.signal.aborted) throw error;
    throw explained(error, options) ?? error;
  } finally {
    refusal[Symbol.dispose]();
  }
}

/**
 * A client's certificate that the server refuses shows nowhere but in a time-out: with TLS 1.3 it comes after the handshake.
 * So who is not connected after a moment asks by hand.
 */
function refusedLate(options: ResolvedOptions, clock: Clock): Disposable & { readonly found: Promise<never> } {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => undefined); // whoever connects may be done before
  const timer = clock.after(patienceMs, () => {
    const refuse = (cause: Error | undefined): void => {
      if (cause === undefined) return;
      const text = "nats: the server refuses the client's certificate, or there is none";
      reject(new DriverError("BUS_AUTHENTICATION", text, { cause }));
    };
    tlsRefusal(options, clock).then(refuse, () => undefined);
  });
  return { found: promise, [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** The client would say so only when the server asks, and in words that are nobody's. */
function tried(option: string, authenticator: Authenticator): Authenticator {
  try {
    authenticator("nonce");
    return authenticator;
  } catch {
    throw new DriverError("BUS_INVALID_OPTION", `nats: what "${option}" gives is no valid secret of NATS`);
  }
}

async function credentials(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new DriverError("BUS_INVALID_OPTION", 'nats: the file of "credentials" can\'t be read', { cause });
  }
}

/** What the client says in words alone. */
function explained(error: unknown, { tls }: ResolvedOptions): DriverError | undefined {
  if (tls === undefined) return undefined;
  const text = String((error as { readonly message?: unknown } | undefined)?.message);
  if (/server does not support 'tls'/i.test(text))
    return new DriverError("BUS_INVALID_OPTION", "nats: TLS is asked for and the server has none", { cause: error });
  if (/doesn't exist/i.test(text))
    return new DriverError("BUS_INVALID_OPTION", 'nats: a file of "tls" can\'t be read', { cause: error });
  return undefined;
}
