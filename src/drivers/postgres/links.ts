import { readFile } from "node:fs/promises";
import type { Clock } from "../../clock.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { classify } from "./classify.ts";
import { loadClient } from "./client.ts";
import type { OpenLink } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";
import { OwnLink } from "./own-link.ts";
import { PoolLink } from "./pool-link.ts";
import { stateOf } from "./sqlstate.ts";

export type LinkKind = "writer" | "worker" | "desk" | "listener";

export interface LinkContext {
  readonly options: ResolvedOptions;
  readonly clock: Clock;
  readonly name: string;
  readonly blocked: (blocked: boolean) => void;
}

/** Opens a connection, or rejects and leaves nothing open. \`lost\` is called once at most. */
export async function openLink(
  kind: LinkKind,
  host: ResolvedOptions["hosts"][number],
  context: LinkContext,
  lost: (error: unknown) => void,
  signal: AbortSignal,
): Promise<OpenLink> {
  const { options, clock, blocked } = context;
  const { pool, poolTimeoutMs } = options;
  if (pool !== undefined) return new PoolLink(pool, { poolTimeoutMs, clock, keep: kind === "listener", blocked }, lost);
  const module = await loadClient();
  const settings = await clientOptions(host, context);
  const open = (more: object): Promise<OwnLink> =>
    OwnLink.open(module, { ...settings, ...more }, lost, () => clock.ticks(), signal);
  try {
    return await open({ options: `${assumed} ${endsWithItsLine(options.leaseMs)}` }).catch((error: unknown) => {
      // poolers take no options of a session that others will have: what it is, is looked at later
      if (stateOf(error) === protocolViolation) return open({});
      if (stateOf(error) === invalidValue) return open({ options: assumed }); // a system that can't say it
      throw error;
    });
  } catch (error) {
    throw refusal(error, options);
  }
}

const assumed = "-c default_transaction_isolation=read\\ committed -c bytea_output=hex";
/**
 * Or what waits there for a lock would stay when we have gone on by another; and what writes to who reads no more, as a process that
 * was stopped, would hold its locks for ever.
 */
const endsWithItsLine = (ms: number): string =>
  `-c client_connection_check_interval=1000 -c tcp_user_timeout=${Math.ceil(ms)}`;
const protocolViolation = "08P01";
const invalidValue = "22023";

/** Everything is said, or the client would take it from the environment. */
async function clientOptions(
  { host, port }: ResolvedOptions["hosts"][number],
  { options, name }: LinkContext,
): Promise<object> {
  const { tls, password } = options;
  const file = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : await readFile(path);
  return {
    host,
    port,
    user: options.username,
    password: async () => (typeof password === "function" ? await password() : (password ?? "")),
    database: options.database,
    application_name: `omnibus ${name}`.slice(0, 63),
    client_encoding: "UTF8",
    keepAlive: true,
    ssl:
      tls === undefined
        ? false
        : {
            ca: await file(tls.caFile),
            cert: await file(tls.certFile),
            key: await file(tls.keyFile),
            ...(tls.named ? {} : { checkServerIdentity: () => undefined }),
          },
  };
}

/** What the client says without a code, by what was being done. */
function refusal(error: unknown, { tls, password }: ResolvedOptions): unknown {
  const { code, message = "" } = error as { readonly code?: unknown; readonly message?: string };
  if (error instanceof DriverError || stateOf(error) !== undefined || code !== undefined) return error;
  if (tls !== undefined && /does not support SSL/.test(message))
    return new DriverError("BUS_CONNECTION", "postgres: the server speaks no TLS", { cause: error });
  if (/SASL|password must be a (?:non-empty )?string/.test(message))
    return new DriverError(
      "BUS_AUTHENTICATION",
      password === undefined
        ? "postgres: the server asks for a password"
        : "postgres: the server's proof of the password failed",
      { cause: error },
    );
  return classify(error).code === "BUS_SERVER"
    ? new DriverError("BUS_CONNECTION", `postgres: ${message}`, { retryable: true, cause: error })
    : error;
}
