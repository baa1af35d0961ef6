import { isPromise } from "node:util/types";
import { ambient, type Cause } from "./context.ts";
import type { Core } from "./core.ts";
import { encodeEnvelope } from "./codec.ts";
import type { Address, DriverConnection, Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError, PublishError } from "./errors.ts";
import type { EventDefinition, Outgoing, PublishOptions } from "./event.ts";
import { encodeForeign } from "./foreign.ts";
import { murmur2 } from "./internal/murmur2.ts";
import { matchesPattern } from "./internal/topic-trie.ts";
import { publishShape } from "./normalise.ts";
import { checkOptions, invalidOption } from "./option-check.ts";
import type { Outbound } from "./outbound.ts";
import { PublishOp } from "./publish-op.ts";
import type { Receipt } from "./receipt.ts";
import { ReceivedEvent } from "./received-event.ts";
import type { Routing } from "./routing.ts";
import { check } from "./schema-check.ts";
import { validateAttribute, validateSource } from "./attribute.ts";
import { validateName, validateTopic } from "./topic.ts";

/** How the publisher reaches the broker: at once when connected, else by connecting first. */
export interface Link {
  readonly active: DriverConnection | undefined;
  readonly driverName: string;
  ready(): Promise<unknown>;
}
/** An envelope and its bytes; `body` is empty where messages are not encoded. */
export interface Encoded {
  readonly envelope: Envelope;
  readonly headers: Headers;
  readonly body: Uint8Array;
}
interface PartsOptions {
  readonly replyTo?: string;
  readonly expiresAt?: number;
  readonly notBefore?: number | undefined;
  readonly headers?: Headers;
}
type Options = (PublishOptions & { readonly type?: string | undefined }) | undefined;

const priorities = { low: 0, normal: 1, high: 2, critical: 3 } as const;
const noHeaders: Headers = [];
const none: PartsOptions = {};
const attributes = ["id", "key", "type", "correlationId", "causationId"] as const;
const noBody = new Uint8Array(0);

/** From a call of `publish` to a message on its way: options, schema, envelope, bytes, route. */
export class Publisher {
  readonly #core: Core;
  readonly #outbound: Outbound;
  readonly #link: Link;
  readonly #routing: Routing;
  #turn = 0; // keyless messages go round the partitions
  /** Publishes that wait for a schema or for the connection; later ones queue behind them, so that call order holds. */
  #slow = 0;
  #tail: Promise<void> = Promise.resolve();
  readonly #waitingSlowly = new Set<() => void>();

  constructor(core: Core, outbound: Outbound, link: Link, routing: Routing) {
    this.#core = core;
    this.#outbound = outbound;
    this.#link = link;
    this.#routing = routing;
  }

  /** `group`: to its queue instead of the topic's stream. */
  publish(
    event: EventDefinition | undefined,
    topic: string | undefined,
    data: unknown,
    options: Options,
    group?: string,
    cause?: Cause,
  ): Promise<Receipt> {
    let checked: unknown;
    let definition = event;
    try {
      if (options !== undefined) checkPublish(options, this.#core.clock.now());
      if (group !== undefined) validateName("group", group);
      if (topic !== undefined || event === undefined) validateTopic(topic);
      if (definition === undefined) {
        const type = options?.type ?? topic!.slice(topic!.lastIndexOf(".") + 1);
        definition = this.#core.options.registry.latest(type);
      }
      checked =
        definition === undefined || !this.#core.options.validateOnPublish
          ? data
          : check(definition.schema, data, `event "${definition.type}"`);
      if (this.#slow === 0 && !isPromise(checked) && this.#link.active !== undefined) {
        const encoded = this.encode(this.#envelope(definition, topic, data, checked, options, cause));
        return this.#submit(encoded, options, group);
      }
      return this.#publishSlowly(definition, topic, data, checked, options, group, cause);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  publishItem(item: Outgoing): Promise<Receipt> {
    return this.publish(item.event, item.event === undefined ? item.topic : undefined, item.data, item.options);
  }

  /** Resolves when every publish so far is on its way, or has failed. */
  idle(): Promise<void> {
    return this.#tail;
  }

  /** Whoever still waits for a schema or the connection is told. */
  close(): void {
    for (const close of [...this.#waitingSlowly]) close();
  }

  /** With the bytes, unless the connection takes values. */
  encode(envelope: Envelope): Encoded {
    const active = this.#link.active;
    if (active?.unencoded === true) return { envelope, headers: noHeaders, body: noBody };
    const { wire, maxMessageBytes } = this.#core.options;
    for (const foreign of wire.foreign) {
      if (foreign.write === true && matchesPattern(foreign.topics, envelope.topic))
        return {
          envelope,
          ...encodeForeign(foreign.format, new ReceivedEvent(envelope, envelope.data), maxMessageBytes),
        };
    }
    const limit = active?.capabilities.maxMessageBytes;
    const encoded = encodeEnvelope(envelope, {
      mode: wire.mode,
      compression: wire.compression,
      maxMessageBytes: limit === undefined ? maxMessageBytes : Math.min(limit, maxMessageBytes),
    });
    return { envelope, headers: encoded.headers, body: encoded.body };
  }

  /** By its key, or in turn. */
  hash(key: string | undefined): number {
    return key === undefined ? (this.#turn = (this.#turn + 1) & 0x7fff_ffff) : murmur2(key);
  }

  /** What goes to `to` with these bytes. */
  message(encoded: Encoded, to: Address, durable: boolean, more: PartsOptions = none): PublishOp {
    const { envelope } = encoded;
    const active = this.#link.active;
    const headers = more.headers === undefined ? encoded.headers : [...encoded.headers, ...more.headers];
    const op = new PublishOp(to, envelope.id, envelope.key, headers, encoded.body);
    op.hash = this.hash(envelope.key);
    op.replyTo = more.replyTo;
    op.notBefore = more.notBefore;
    op.expiresAt = more.expiresAt;
    op.durable = durable;
    op.priority = priorities[envelope.priority];
    if (active === undefined || active.unencoded) op.value = envelope;
    op.driver = this.#link.driverName;
    if (!durable || active?.capabilities.durable !== true) op.storedAs = "not-durable";
    return op;
  }

  #envelope(
    definition: EventDefinition | undefined,
    topic: string | undefined,
    input: unknown,
    output: unknown,
    options: Options,
    given: Cause | undefined,
  ): Envelope {
    const now = this.#core.clock.now();
    const around = ambient();
    const cause = given ?? (this.#core.options.correlateByItself ? around?.cause : undefined);
    const scope = around?.scope;
    const at = topic ?? definition!.topicOf(output);
    const metadata = scope?.metadata === undefined ? options?.metadata : { ...scope.metadata, ...options?.metadata };
    return {
      id: options?.id ?? this.#core.ids.next(now),
      type: options?.type ?? definition?.type ?? at.slice(at.lastIndexOf(".") + 1),
      version: definition?.version ?? 1,
      topic: at,
      source: options?.source ?? scope?.source ?? this.#core.options.name,
      time: options?.time?.getTime() ?? now,
      key: options?.key ?? (definition === undefined ? undefined : definition.keyOf(output)),
      session: scope?.session,
      correlationId: options?.correlationId ?? scope?.correlationId ?? cause?.correlationId,
      causationId: options?.causationId ?? cause?.id,
      priority: options?.priority ?? definition?.priority ?? "normal",
      metadata,
      maxAttempts: options?.maxAttempts,
      data: input,
    };
  }

  async #publishSlowly(
    definition: EventDefinition | undefined,
    topic: string | undefined,
    data: unknown,
    checked: unknown,
    options: Options,
    group: string | undefined,
    cause: Cause | undefined,
  ): Promise<Receipt> {
    const limits = this.#limits(options, topic ?? definition?.pattern ?? "");
    // what is published is what was given at the call, whatever the caller does to the object meanwhile
    if (isPromise(checked)) checked.catch(handledBelow);
    const encoded = isPromise(checked)
      ? undefined
      : this.encode(this.#envelope(definition, topic, data, checked, options, cause));
    const snapshot = encoded === undefined ? snapshotOf(data) : undefined;
    const before = this.#tail;
    let release: () => void = () => undefined;
    this.#tail = new Promise((resolve) => (release = resolve));
    this.#slow += 1;
    let sent: Promise<Receipt>;
    try {
      const output: unknown = await limits.race(Promise.resolve(checked));
      await limits.race(before);
      if (this.#link.active === undefined) await limits.race(this.#link.ready());
      sent = this.#submit(
        encoded ?? this.encode(this.#envelope(definition, topic, snapshot, output, options, cause)),
        limits.left(options),
        group,
      );
    } finally {
      limits.end();
      this.#slow -= 1;
      release();
    }
    return sent;
  }

  #submit(encoded: Encoded, options: Options, group: string | undefined): Promise<Receipt> {
    const { envelope } = encoded;
    const active = this.#link.active;
    const durable = options?.delivery !== "at-most-once";
    let notBefore: number | undefined;
    if (options !== undefined && (options.delayMs !== undefined || options.at !== undefined)) {
      const due = options.at?.getTime() ?? this.#core.clock.now() + options.delayMs!;
      if (due > this.#core.clock.now()) notBefore = due;
      if (notBefore !== undefined && (active === undefined || active.capabilities.delay === "none"))
        throw new BusError(
          "BUS_UNSUPPORTED",
          `publishing "${envelope.topic}" later: the driver "${this.#link.driverName}" has no delays`,
        );
    }
    if (group !== undefined && active?.capabilities.groups === false)
      throw new BusError(
        "BUS_UNSUPPORTED",
        `sending to group "${group}": the driver "${this.#link.driverName}" has no durable groups`,
      );
    let to: Address | undefined;
    if (!durable) to = { kind: "direct", topic: envelope.topic };
    else if (group !== undefined) to = { kind: "queue", group, topic: envelope.topic };
    else to = this.#routing.addressOf(envelope.topic);
    if (to === undefined)
      throw new BusError(
        "BUS_NOT_FOUND",
        `publishing to "${envelope.topic}": no stream captures this topic; declare one with the bus's "streams" or bus.streams.ensure`,
      );
    this.#core.counters.lastPublishAt = envelope.time;
    return this.#outbound.send(
      this.message(encoded, to, durable, notBefore === undefined ? none : { notBefore }),
      options,
    );
  }

  /** Of a publish that waits for a schema or for the connection: nothing is sent before, so giving up is a certain "not stored". */
  #limits(options: Options, topic: string): SlowLimits {
    const { retry, attemptTimeoutMs } = this.#core.options.publishing;
    const timeoutMs = options?.timeoutMs ?? retry.maxAttempts * attemptTimeoutMs;
    const startedAt = this.#core.clock.ticks();
    let giveUp: (error: BusError) => void = () => undefined;
    const given = new Promise<never>((_, reject) => (giveUp = reject));
    given.catch(handledBelow);
    const failure = (code: "BUS_TIMEOUT" | "BUS_ABORTED" | "BUS_CLOSED", why: string): void =>
      giveUp(
        new PublishError(code, `publishing to "${topic}": ${why}, never sent`, {
          outcome: "rejected",
          id: options?.id ?? "",
          topic,
          attempts: 0,
          retryable: code !== "BUS_CLOSED",
        }),
      );
    const abort = (): void => failure("BUS_ABORTED", "aborted by the caller");
    const close = (): void => failure("BUS_CLOSED", "the bus is closed");
    const timer = this.#core.wheel.set(timeoutMs, () => failure("BUS_TIMEOUT", `not within ${timeoutMs} ms`), close);
    this.#waitingSlowly.add(close);
    options?.signal?.addEventListener("abort", abort, { once: true });
    if (options?.signal?.aborted === true) abort();
    return {
      race: (work) => Promise.race([work, given]),
      left: (all) =>
        all?.timeoutMs === undefined
          ? all
          : { ...all, timeoutMs: Math.max(all.timeoutMs - (this.#core.clock.ticks() - startedAt), 1) },
      end: () => {
        timer.cancel();
        this.#waitingSlowly.delete(close);
        options?.signal?.removeEventListener("abort", abort);
      },
    };
  }
}

interface SlowLimits {
  race<T>(work: Promise<T>): Promise<T>;
  left(options: Options): Options;
  end(): void;
}

/** A promise whose rejection reaches the caller by another way. */
const handledBelow = (): void => undefined;

const longestDelayMs = 365 * 24 * 3_600_000;

function checkPublish(options: NonNullable<Options>, now: number): void {
  checkOptions("publish", options, publishShape);
  const { delayMs, at, delivery } = options;
  for (const name of attributes)
    if (options[name] !== undefined) validateAttribute(`publish: "${name}"`, options[name]);
  if (options.source !== undefined) validateSource('publish: "source"', options.source);
  if (at !== undefined && at.getTime() > now + longestDelayMs)
    throw invalidOption('publish: "at" may be at most 365 days away');
  if (delayMs !== undefined && at !== undefined) throw invalidOption('publish: "delayMs" and "at" exclude each other');
  if (delivery === "at-most-once" && (delayMs !== undefined || at !== undefined))
    throw invalidOption('publish: an "at-most-once" event is not stored, so it can\'t be delayed');
}

function snapshotOf(data: unknown): unknown {
  try {
    return structuredClone(data);
  } catch (error) {
    throw new BusError(
      "BUS_INVALID_DATA",
      "publishing: the data holds what can't be copied, so it can't be encoded either",
      { cause: error },
    );
  }
}
