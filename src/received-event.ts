import type { Envelope } from "./envelope.ts";
import type { BusEvent, Priority } from "./event.ts";

const inspect = Symbol.for("nodejs.util.inspect.custom");
const nothing: Readonly<Record<string, unknown>> = Object.freeze({});

/** An event as handlers get it: a view of its envelope, with data that was validated. */
export class ReceivedEvent implements BusEvent {
  readonly #envelope: Envelope;
  readonly data: unknown;
  #time: Date | undefined;

  constructor(envelope: Envelope, data: unknown) {
    this.#envelope = envelope;
    this.data = data;
  }

  get id(): string {
    return this.#envelope.id;
  }

  get type(): string {
    return this.#envelope.type;
  }

  get version(): number {
    return this.#envelope.version;
  }

  get topic(): string {
    return this.#envelope.topic;
  }

  get source(): string {
    return this.#envelope.source;
  }

  get time(): Date {
    return (this.#time ??= new Date(this.#envelope.time));
  }

  get key(): string | undefined {
    return this.#envelope.key;
  }

  get session(): string | undefined {
    return this.#envelope.session;
  }

  get correlationId(): string {
    return this.#envelope.correlationId ?? this.#envelope.id;
  }

  get causationId(): string | undefined {
    return this.#envelope.causationId;
  }

  get priority(): Priority {
    return this.#envelope.priority;
  }

  get metadata(): Readonly<Record<string, unknown>> {
    return this.#envelope.metadata ?? nothing;
  }

  toString(): string {
    return `${this.type} v${this.version} ${this.id} (${this.topic})`;
  }

  /** Everything, the data too: what was asked for by name. */
  toJSON(): Record<string, unknown> {
    const {
      id,
      type,
      version,
      topic,
      source,
      time,
      key,
      session,
      correlationId,
      causationId,
      priority,
      metadata,
      data,
    } = this;
    return {
      id,
      type,
      version,
      topic,
      source,
      time,
      key,
      session,
      correlationId,
      causationId,
      priority,
      metadata,
      data,
    };
  }

  static {
    // Without the data, which may be anybody's; what is logged by accident names the event only.
    const short = function (this: ReceivedEvent): string {
      return `BusEvent { ${this.toString()} }`;
    };
    Object.defineProperty(this.prototype, inspect, { value: short });
  }
}
