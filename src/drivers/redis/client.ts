import { DriverError } from "../../internal/driver-error.ts";

/** What is used of a client of `redis` (node-redis); declared here, so that nobody's types need the package. */
export interface RedisClient {
  readonly isOpen: boolean;
  readonly isReady: boolean;
  connect(): Promise<unknown>;
  sendCommand(args: readonly (string | Uint8Array)[]): Promise<unknown>;
  /** Messages come as bytes. */
  sSubscribe(channel: string, listener: (message: Uint8Array) => unknown, buffers: true): Promise<unknown>;
  withTypeMapping(mapping: object): unknown;
  duplicate(overrides?: object): unknown;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  off(event: string, listener: (...args: unknown[]) => void): unknown;
  close(): Promise<unknown>;
  destroy(): void;
}

/** The same of a client that `createCluster` made. */
export interface RedisCluster extends Omit<RedisClient, "sendCommand"> {
  readonly masters: readonly unknown[];
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean | undefined,
    args: (string | Uint8Array)[],
  ): Promise<unknown>;
}

export interface ClientModule {
  createClient(options: object): RedisClient;
  createCluster(options: object): RedisCluster;
}

export const isCluster = (client: RedisClient | RedisCluster): client is RedisCluster => "masters" in client;

/** `$` and `+` of the protocol: what Redis calls strings are bytes here. `%`: a map of the third version is a flat list, as in the second. */
export const asBuffers: Readonly<Record<number, unknown>> = { 36: Buffer, 43: Buffer, 37: Array };

let loaded: Promise<ClientModule> | undefined;

export function loadClient(): Promise<ClientModule> {
  return (loaded ??= load());
}

async function load(): Promise<ClientModule> {
  let module: ClientModule;
  try {
    // what it exports is wider than what is used of it
    module = (await import("redis")) as unknown as ClientModule;
  } catch (cause) {
    loaded = undefined;
    throw new DriverError("BUS_CLIENT_MISSING", 'the driver "redis" needs redis: npm install redis', { cause });
  }
  // `createClient` makes a class of 400 methods whenever the options differ from the last ones, which takes 100 ms; a copy has one
  const first = module.createClient({ RESP: 2 });
  return {
    createClient: (options) => first.duplicate(options) as RedisClient,
    createCluster: (options) => module.createCluster(options),
  };
}
