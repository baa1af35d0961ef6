import { DriverError } from "../../internal/driver-error.ts";

/**
 * The little of `@nats-io/transport-node` that the driver uses, so that its types compile without the package and a
 * connection made by another copy of it fits.
 */
export interface NatsClient {
  readonly info?: ServerInfo | undefined;
  publish(subject: string, payload?: Uint8Array, options?: NatsPublishOptions): void;
  subscribe(subject: string, options: NatsSubscriptionOptions): NatsSubscription;
  flush(): Promise<void>;
  drain(): Promise<void>;
  close(): Promise<void>;
  closed(): Promise<void | Error>;
  isClosed(): boolean;
  status(): AsyncIterable<NatsStatus>;
}

export interface ServerInfo {
  readonly version: string;
  readonly server_id: string;
  readonly server_name: string;
  readonly max_payload: number;
  readonly jetstream?: boolean;
  readonly cluster?: string;
}

export interface NatsMessageHeaders extends Iterable<[string, string[]]> {
  readonly code: number;
  readonly description: string;
}

export interface NatsPublishOptions {
  readonly reply?: string | undefined;
  /** The client asks nothing of it but `encode(): Uint8Array`, which its own type doesn't show. */
  readonly headers?: object | undefined;
}

/** A message as the client gives it. */
export interface ClientMessage {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: NatsMessageHeaders | undefined;
}

export interface NatsSubscriptionOptions {
  readonly queue?: string;
  readonly callback: (error: Error | null, message: ClientMessage) => void;
}

export interface NatsSubscription {
  unsubscribe(max?: number): void;
  drain(): Promise<void>;
}

export interface NatsStatus {
  readonly type: string;
  readonly error?: unknown;
}

interface ClientPackage {
  connect(options: Readonly<Record<string, unknown>>): Promise<NatsClient>;
  nkeyAuthenticator(seed: Uint8Array): Authenticator;
  credsAuthenticator(credentials: Uint8Array): Authenticator;
}

/** Answers the server's question who we are. */
export type Authenticator = (nonce?: string) => unknown;

/** Loaded when it is needed. */
export async function loadClient(): Promise<ClientPackage> {
  try {
    const client: unknown = await import("@nats-io/transport-node");
    return client as ClientPackage;
  } catch (cause) {
    const message = 'the driver "nats" needs @nats-io/transport-node: npm install @nats-io/transport-node';
    throw new DriverError("BUS_CLIENT_MISSING", message, { cause });
  }
}
