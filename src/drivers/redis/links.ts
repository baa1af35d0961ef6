import { readFile } from "node:fs/promises";
import type { ConnectContext } from "../../driver.ts";
import { asBuffers, isCluster, loadClient, type ClientModule } from "./client.ts";
import { ClientLink } from "./client-link.ts";
import type { Link } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";
import { findPrimary } from "./sentinel.ts";
import type { ServerAddress } from "./server-url.ts";
import { SharedLink } from "./shared-link.ts";

type LinkKind = "command" | "subscriber" | "blocking";

/** Opens connections of the kind that the options ask for; all of one bus. */
export interface Links {
  /** Rejects when it can't be had. `lost` is called at most once. */
  open(kind: LinkKind, lost: (error: unknown) => void, signal: AbortSignal): Promise<Link>;
}

// answers are the same in both protocols, but only in the second for `XREAD`; the client's own time-out is a timer for each call
const settings = {
  RESP: 2,
  maintNotifications: "disabled",
  disableOfflineQueue: true,
  commandOptions: { typeMapping: asBuffers, timeout: 0 },
} as const;

export function linksOf(options: ResolvedOptions, base: string, context: ConnectContext): Links {
  const { client } = options;
  if (client === undefined) return new OwnLinks(options, base);
  return {
    async open(kind, lost, signal) {
      if (kind === "command")
        return SharedLink.open(client, base, lost, options.connectTimeoutMs, context.clock, signal);
      const socket = { reconnectStrategy: false, connectTimeout: options.connectTimeoutMs };
      const copy = isCluster(client)
        ? client.duplicate({ ...settings, defaults: { ...settings, socket } })
        : client.duplicate({ ...settings, socket: { ...socketOf(client), ...socket } });
      return ClientLink.open(copy as typeof client, base, lost, signal);
    },
  };
}

function socketOf(client: object): object {
  const { options } = client as { readonly options?: { readonly socket?: object } };
  return options?.socket ?? {};
}

class OwnLinks implements Links {
  readonly #options: ResolvedOptions;
  readonly #base: string;
  #module: ClientModule | undefined;

  constructor(options: ResolvedOptions, base: string) {
    this.#options = options;
    this.#base = base;
  }

  async open(_: LinkKind, lost: (error: unknown) => void, signal: AbortSignal): Promise<Link> {
    const module = (this.#module ??= await loadClient());
    const { cluster, sentinel, address } = this.#options;
    const login = await this.#login();
    if (cluster !== undefined) {
      const rootNodes = cluster.map(({ host, port }) => ({ socket: { host, port } }));
      const defaults = { ...settings, ...login, socket: await this.#socket() };
      return ClientLink.open(module.createCluster({ ...settings, rootNodes, defaults }), this.#base, lost, signal);
    }
    const found = sentinel === undefined ? address : await findPrimary(module, sentinel, this.#options, signal);
    const client = module.createClient({
      ...settings,
      ...login,
      database: this.#options.database,
      socket: await this.#socket(found),
    });
    return ClientLink.open(client, this.#base, lost, signal);
  }

  async #login(): Promise<object> {
    const { username, password } = this.#options;
    const secret = typeof password === "function" ? await password() : password;
    return { ...(username === undefined ? {} : { username }), ...(secret === undefined ? {} : { password: secret }) };
  }

  async #socket(address?: Pick<ServerAddress, "host" | "port">): Promise<object> {
    const { tls, connectTimeoutMs } = this.#options;
    const files = async (path: string | undefined): Promise<Buffer | undefined> =>
      path === undefined ? undefined : await readFile(path);
    return {
      ...(address === undefined ? {} : { host: address.host, port: address.port }),
      connectTimeout: connectTimeoutMs,
      reconnectStrategy: false,
      ...(tls !== undefined && {
        tls: true,
        ca: await files(tls.caFile),
        cert: await files(tls.certFile),
        key: await files(tls.keyFile),
      }),
    };
  }
}
