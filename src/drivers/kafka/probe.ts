import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { ClientModule, Metadata, SaslOptions } from "./client.ts";
import { apiIdOf, classify, NoAnswer } from "./errors.ts";
import { type Host, Link, type LinkOptions } from "./link.ts";
import { checkVersions } from "./server-versions.ts";

/** With a broker that answers all is known within half a second; one that doesn't is given two. */
const longestPatienceMs = 2_000;

/** Who logs in; the mechanism is what the broker has, unless it is given. */
export interface ProbeLogin {
  readonly username: string;
  readonly password: string;
  readonly mechanism: SaslOptions["mechanism"] | undefined;
}

export interface ProbeOptions {
  readonly clientId: string;
  readonly tls: object | undefined;
  readonly login: ProbeLogin | undefined;
  /** @default 2_000, and no more than that */
  readonly connectTimeoutMs?: number | undefined;
}

const patienceOf = ({ connectTimeoutMs = longestPatienceMs }: ProbeOptions): number =>
  Math.min(longestPatienceMs, connectTimeoutMs);

export interface Probed {
  readonly metadata: Metadata;
  readonly sasl: SaslOptions | undefined;
}

/** What a probe needs at hand. */
interface Tools {
  readonly module: ClientModule;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const strongest = ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] as const;

/**
 * First contact with one broker: one try, so that what never will be right is said at once. The client's own connects would try
 * a wrong password again and again.
 */
export async function probe(host: Host, options: ProbeOptions, tools: Tools): Promise<Probed> {
  try {
    const sasl = await saslFor(host, options, tools);
    const link = await open(host, options, sasl, tools);
    try {
      checkVersions(await link.ask(tools.module.apiVersionsV3, ["omnibus", "1"], patienceOf(options)));
      return { metadata: await link.ask(tools.module.metadataV12, [[], false, false], patienceOf(options)), sasl };
    } catch (error) {
      throw await unlessItWantsALogin(error, host, options, tools);
    } finally {
      link.destroy();
    }
  } catch (error) {
    throw await unlessTheOtherWay(error, host, options, tools);
  }
}

function linkOptions(options: ProbeOptions, sasl: SaslOptions | undefined): LinkOptions {
  const { clientId, tls } = options;
  return { clientId, tls, sasl, connectTimeoutMs: patienceOf(options) };
}

const open = (host: Host, options: ProbeOptions, sasl: SaslOptions | undefined, tools: Tools): Promise<Link> =>
  Link.open(tools.module, host, linkOptions(options, sasl), tools.clock, tools.signal);

async function saslFor(host: Host, options: ProbeOptions, tools: Tools): Promise<SaslOptions | undefined> {
  const { login, tls } = options;
  if (login === undefined) return undefined;
  const { username, password } = login;
  if (login.mechanism !== undefined) return { mechanism: login.mechanism, username, password };
  const offered = await mechanismsOf(host, options, tools);
  if (offered === undefined) throw refused("no password is wanted here, and one was given");
  const mechanism = strongest.find((each) => offered.includes(each));
  if (mechanism === undefined) throw refused(`the broker has ${offered.join(", ")}, of which the bus knows none`);
  if (mechanism === "PLAIN" && tls === undefined)
    throw refused(
      'the broker has PLAIN only, which shows the password to the network: say mechanism: "plain", or use TLS',
    );
  return { mechanism, username, password };
}

const refused = (why: string): DriverError => new DriverError("BUS_AUTHENTICATION", `kafka: ${why}`);

/** Those that are on: a handshake for one that nobody has is refused with all there are. Undefined: nobody logs in there. */
async function mechanismsOf(host: Host, options: ProbeOptions, tools: Tools): Promise<readonly string[] | undefined> {
  const link = await open(host, options, undefined, tools);
  try {
    await link.ask(tools.module.saslHandshakeV1, ["NONE"], patienceOf(options));
    return [];
  } catch (error) {
    const answer = apiIdOf(error);
    if (answer === "ILLEGAL_SASL_STATE") return undefined;
    if (answer !== "UNSUPPORTED_SASL_MECHANISM") throw error;
    return (error as { readonly response?: { readonly mechanisms?: readonly string[] } }).response?.mechanisms ?? [];
  } finally {
    link.destroy();
  }
}

/** A listener that wants a login closes the connection at the first question, and says nothing. */
async function unlessItWantsALogin(error: unknown, host: Host, options: ProbeOptions, tools: Tools): Promise<unknown> {
  if (options.login !== undefined || !(error instanceof NoAnswer) || error.code === "BUS_TIMEOUT") return error;
  const offered = await mechanismsOf(host, options, tools).catch(() => undefined);
  return offered === undefined || offered.length === 0
    ? error
    : refused(`the broker wants a user and a password (${offered.join(", ")}), and none was given`);
}

/** Bytes that make no sense end a connection, on both sides: one that speaks the other way answers when it is asked so. */
async function unlessTheOtherWay(error: unknown, host: Host, options: ProbeOptions, tools: Tools): Promise<unknown> {
  if (error instanceof DriverError && !(error instanceof NoAnswer)) return error;
  const { code, retryable } = classify(error);
  if (code !== "BUS_CONNECTION" || !retryable || /REFUSED|NOTFOUND|UNREACH|AGAIN/.test(systemCode(error))) return error;
  const other = { ...options, tls: options.tls === undefined ? { rejectUnauthorized: false } : undefined };
  if (!(await answers(host, other, tools))) return error;
  const which = options.tls === undefined ? "wants TLS" : "speaks no TLS";
  return new DriverError("BUS_CONNECTION", `kafka: ${host.host}:${host.port} ${which}`, { cause: error });
}

function systemCode(error: unknown): string {
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: unknown };
  return /^E[A-Z]/.test(String(code)) || typeof cause !== "object" || cause === null ? String(code) : systemCode(cause);
}

async function answers(host: Host, options: ProbeOptions, tools: Tools): Promise<boolean> {
  try {
    const link = await open(host, options, undefined, tools);
    try {
      await link.ask(tools.module.apiVersionsV3, ["omnibus", "1"], patienceOf(options));
      return true;
    } finally {
      link.destroy();
    }
  } catch {
    return false;
  }
}
