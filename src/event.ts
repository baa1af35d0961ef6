import type { StandardSchemaV1 } from "@standard-schema/spec";

export type Priority = "low" | "normal" | "high" | "critical";

/** What a handler receives: the data and the attributes of the envelope. Read-only; attributes are computed when read. */
export interface BusEvent<Type extends string = string, Data = unknown> {
  /** A UUIDv7 unless the publisher gave one; minted before the first attempt, never changed. */
  readonly id: string;
  readonly type: Type;
  readonly version: number;
  readonly topic: string;
  readonly data: Data;
  /** Who published it: the bus's `name`, unless given. */
  readonly source: string;
  readonly time: Date;
  readonly key: string | undefined;
  readonly session: string | undefined;
  /** The id of the first event of the chain. */
  readonly correlationId: string;
  /** The id of the event whose handler published this one. */
  readonly causationId: string | undefined;
  readonly priority: Priority;
  /** JSON. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Short, without the data. */
  toString(): string;
}

/** A typed event: its type, schema, version and where it travels. A value; defining one registers nothing. */
export interface EventDefinition<Type extends string = string, In = any, Out = In, Version extends number = number> {
  readonly type: Type;
  readonly version: Version;
  readonly schema: StandardSchemaV1<In, Out>;
  /** What every topic of this event matches: a template's `{field}` becomes `*`. */
  readonly pattern: string;
  readonly upcast: Readonly<Record<number, (data: unknown) => unknown>>;
  readonly priority: Priority;
  topicOf(data: Out): string;
  keyOf(data: Out): string | undefined;
  /** One item for `publishMany`, checked where it is made. */
  of(data: In, options?: PublishOptions): Outgoing;
}

export interface DefineEventOptions<Schema extends StandardSchemaV1, Topic extends string, Version extends number> {
  /** Any Standard Schema library's, or `typed<T>()`. The wire carries the schema's input form, so a transforming schema runs on both sides. */
  readonly schema: Schema;
  /** `orders.{region}.placed` takes tokens from the data; a value that is no valid token is refused. @default the type */
  readonly topic?: CheckTemplate<Topic, StandardSchemaV1.InferOutput<Schema>> | undefined;
  /** What order is kept by. @default none */
  readonly key?: ((data: StandardSchemaV1.InferOutput<Schema>) => string) | undefined;
  /** Of the data's form; older ones are lifted by `upcast`. @default 1 */
  readonly version?: Version | undefined;
  /** Older version → function that lifts its data by one version; applied in turn on receipt. @default none */
  readonly upcast?: Readonly<Record<number, (data: any) => unknown>> | undefined;
  /** Of every event of this definition, unless the publish says another. @default "normal" */
  readonly priority?: Priority | undefined;
}

export interface PublishOptions {
  /** Given by the caller to make the caller's own retry harmless. @default a new UUIDv7 */
  readonly id?: string | undefined;
  /** What order is kept by. @default the definition's */
  readonly key?: string | undefined;
  /** `at-most-once`: not stored, reaches those connected now. @default "at-least-once" */
  readonly delivery?: "at-most-once" | "at-least-once" | undefined;
  /** Travels with the event; whether it is delivered by it is the driver's `priorities`. @default the definition's */
  readonly priority?: Priority | undefined;
  /** Not before this many ms from now; not together with `at`. @default 0 */
  readonly delayMs?: number | undefined;
  /** Not before this time; one that is past means now. @default now */
  readonly at?: Date | undefined;
  /** Who published it. @default the bus's `name` */
  readonly source?: string | undefined;
  /** When it happened. @default now */
  readonly time?: Date | undefined;
  /** The id of the first event of the chain. @default that of the event being handled, else the event's own id */
  readonly correlationId?: string | undefined;
  /** The id of the event that led to this one. @default the id of the event being handled */
  readonly causationId?: string | undefined;
  /** JSON. @default that of `within` */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /** Overrides the group's. @default the subscription's `retry.maxAttempts` */
  readonly maxAttempts?: number | undefined;
  /** Overall, retries included. @default attempts and backoff of the bus's `publishing` */
  readonly timeoutMs?: number | undefined;
  /** Gives up when it aborts; with bytes on the way the outcome is unknown. @default none */
  readonly signal?: AbortSignal | undefined;
}

/** One item of `publishMany`. Made by `OrderPlaced.of(data)` or `outgoing(topic, data)`, so that it is checked where it is made. */
export interface Outgoing {
  readonly [made]: true;
  /** Undefined: an untyped one, from `outgoing`. */
  readonly event: EventDefinition | undefined;
  /** The topic of an untyped one, the pattern of a typed one. */
  readonly topic: string;
  readonly data: unknown;
  readonly options: (PublishOptions & { readonly type?: string | undefined }) | undefined;
}
/** Marks what `of` and `outgoing` made, across copies of the package. */
export const made: unique symbol = Symbol.for("omnibus.outgoing");

export type InputOf<E extends EventDefinition> = StandardSchemaV1.InferInput<E["schema"]>;
/** Distributes over a union or a list, so that `event.type` narrows the data. */
export type EventOf<E> = E extends readonly (infer Each)[]
  ? EventOf<Each>
  : E extends EventDefinition<infer Type, any, infer Out, infer Version>
    ? BusEvent<Type, Out> & { readonly version: Version }
    : never;

type Fields<Topic extends string> = Topic extends `${string}{${infer Field}}${infer Rest}`
  ? Field | Fields<Rest>
  : never;
type TokenKeys<Data> = {
  [K in Extract<keyof Data, string>]: Data[K] extends string | number | boolean | bigint ? K : never;
}[Extract<keyof Data, string>];
/** The template itself, or a sentence that names the field which the data lacks. */
export type CheckTemplate<Topic extends string, Data> = [Fields<Topic>] extends [TokenKeys<Data>]
  ? Topic
  : `unknown field in the topic: ${Exclude<Fields<Topic>, TokenKeys<Data>>}`;
