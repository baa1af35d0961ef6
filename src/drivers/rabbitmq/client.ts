import type { Gathered } from "./gather.ts";
import type { FrameSocket } from "./publish-frames.ts";
import { DriverError } from "../../internal/driver-error.ts";

/** What we use of `amqplib` 2.3, so that our types compile without it. */
export interface AmqpProperties {
  readonly messageId?: string | undefined;
  readonly timestamp?: number | undefined;
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly priority?: number | undefined;
  readonly correlationId?: string | undefined;
  readonly type?: string | undefined;
  readonly deliveryMode?: number | undefined;
  readonly expiration?: string | undefined;
  readonly replyTo?: string | undefined;
  readonly appId?: string | undefined;
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
}

export interface AmqpFields {
  readonly exchange: string;
  readonly routingKey: string;
}

export interface AmqpReturned {
  readonly fields: AmqpFields & { readonly replyCode: number; readonly replyText: string };
  readonly properties: AmqpProperties;
}

export interface AmqpDelivery {
  readonly fields: AmqpFields & {
    readonly deliveryTag: number;
    readonly redelivered: boolean;
    readonly consumerTag?: string;
  };
  readonly properties: AmqpProperties;
  readonly content: Buffer;
}

export type AmqpArguments = Readonly<Record<string, unknown>>;

export interface QueueOptions {
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
  readonly arguments?: AmqpArguments;
}

export interface ExchangeOptions {
  readonly durable?: boolean;
  readonly autoDelete?: boolean;
  readonly internal?: boolean;
  readonly alternateExchange?: string;
  readonly arguments?: AmqpArguments;
}

export interface QueueState {
  readonly queue: string;
  readonly messageCount: number;
  readonly consumerCount: number;
}

export interface AmqpChannel {
  consume(
    queue: string,
    listener: (message: AmqpDelivery | null) => void,
    options?: {
      readonly noAck?: boolean;
      readonly exclusive?: boolean;
      readonly consumerTag?: string;
      readonly arguments?: AmqpArguments;
    },
  ): Promise<{ readonly consumerTag: string }>;
  cancel(consumerTag: string): Promise<unknown>;
  ack(message: { readonly fields: { readonly deliveryTag: number } }, allUpTo?: boolean): void;
  nack(message: { readonly fields: { readonly deliveryTag: number } }, allUpTo?: boolean, requeue?: boolean): void;
  get(queue: string): Promise<AmqpDelivery | false>;
  prefetch(count: number, global?: boolean): Promise<unknown>;
  assertQueue(queue: string, options?: QueueOptions): Promise<QueueState>;
  checkQueue(queue: string): Promise<QueueState>;
  deleteQueue(queue: string): Promise<{ readonly messageCount: number }>;
  purgeQueue(queue: string): Promise<{ readonly messageCount: number }>;
  bindQueue(queue: string, source: string, pattern: string, args?: AmqpArguments): Promise<unknown>;
  unbindQueue(queue: string, source: string, pattern: string, args?: AmqpArguments): Promise<unknown>;
  assertExchange(exchange: string, type: string, options?: ExchangeOptions): Promise<unknown>;
  checkExchange(exchange: string): Promise<unknown>;
  deleteExchange(exchange: string): Promise<unknown>;
  bindExchange(destination: string, source: string, pattern: string, args?: AmqpArguments): Promise<unknown>;
  unbindExchange(destination: string, source: string, pattern: string, args?: AmqpArguments): Promise<unknown>;
  close(): Promise<void>;
  on(event: "close" | "drain", listener: () => void): unknown;
  on(event: "error", listener: (error: unknown) => void): unknown;
  on(event: "cancel", listener: (fields: { readonly consumerTag: string }) => void): unknown;
}

/** Of one publish, or of all up to that one: the server counts them from 1. */
export interface AmqpConfirm {
  readonly deliveryTag: number;
  readonly multiple: boolean;
}

/** What is published on it is written to its socket, past the client. */
export interface AmqpConfirmChannel {
  /** Its number. */
  readonly ch: number;
  readonly connection: {
    readonly stream: FrameSocket;
    readonly frameMax: number;
    /** Of those that are open, by number. */
    readonly channels: Readonly<Record<number, { readonly channel: unknown } | null | undefined>>;
  };
  close(): Promise<void>;
  removeAllListeners(event: "ack" | "nack"): unknown;
  on(event: "return", listener: (message: AmqpReturned) => void): unknown;
  on(event: "ack" | "nack", listener: (confirm: AmqpConfirm) => void): unknown;
  on(event: "close", listener: () => void): unknown;
  on(event: "error", listener: (error: unknown) => void): unknown;
}

export interface AmqpConnection {
  readonly connection: {
    readonly serverProperties: Readonly<Record<string, unknown>>;
    readonly stream?: Gathered & { destroy(error?: Error): void };
  };
  createChannel(): Promise<AmqpChannel>;
  createConfirmChannel(): Promise<AmqpConfirmChannel>;
  close(): Promise<void>;
  on(event: "close" | "error", listener: (error?: unknown) => void): unknown;
  on(event: "blocked", listener: (reason: string) => void): unknown;
  on(event: "unblocked", listener: () => void): unknown;
}

interface ClientPackage {
  connect(
    address: Readonly<Record<string, unknown>>,
    options: Readonly<Record<string, unknown>>,
  ): Promise<AmqpConnection>;
}

/** Loaded when it is needed. */
export async function loadClient(): Promise<ClientPackage> {
  try {
    const client: unknown = await import("amqplib");
    const { default: whole } = client as { readonly default?: ClientPackage };
    return whole ?? (client as ClientPackage);
  } catch (cause) {
    throw new DriverError("BUS_CLIENT_MISSING", 'the driver "rabbitmq" needs amqplib: npm install amqplib@2.3', {
      cause,
    });
  }
}
