import type { ConnectContext } from "../../driver.ts";
import { asBuffers, isCluster, loadClient, type ClientModule } from "./client.ts";
import { ClientLink } from "./client-link.ts";
import type { Link } from "./link.ts";
import type { ResolvedOptions } from "./options.ts";
import { findPrimary } from "./sentinel.ts";
import { socketOptions } from "./socket-options.ts";
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
    const login = await unlessGivenUp(this.#login(), signal);
    if (cluster !== undefined) {
      const rootNodes = cluster.map(({ host, port }) => ({ socket: { host, port } }));
      const defaults = { ...settings, ...login, socket: await socketOptions(this.#options) };
      return ClientLink.open(module.createCluster({ ...settings, rootNodes, defaults }), this.#base, lost, signal);
    }
    const found =
      sentinel === undefined
        ? address
        : await unlessGivenUp(findPrimary(module, sentinel, this.#options, signal), signal);
    const client = module.createClient({
      ...settings,
      ...login,
      database: this.#options.database,
      socket: await socketOptions(this.#options, found),
    });
    return ClientLink.open(client, this.#base, lost, signal);
  }

  async #login(): Promise<object> {
    const { username, password } = this.#options;
    const secret = typeof password === "function" ? await password() : password;
    return { ...(username === undefined ? {} : { username }), ...(secret === undefined ? {} : { password: secret }) };
  }
}

/** What is the user's to answer may take for ever. */
async function unlessGivenUp<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([answer, promise]);
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
}
