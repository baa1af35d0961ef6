import { systemClock } from "./clock.ts";
import { decodeEnvelope } from "./codec.ts";
import { BusError } from "./errors.ts";
import type { BusEvent, EventDefinition } from "./event.ts";
import { any, checkOptions, integer, type Shape } from "./option-check.ts";
import { ReceivedEvent } from "./received-event.ts";
import type { SchemaRegistry } from "./registry.ts";
import { check } from "./schema-check.ts";
import { lift } from "./upcast.ts";

/** A message as another client received it. */
export interface WireMessage {
  readonly body: Uint8Array;
  /** Names in any case. @default none */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  /** @default the CloudEvent's subject */
  readonly topic?: string | undefined;
  /** The key of an event that names none. @default none */
  readonly key?: string | undefined;
}

export interface DecodeEventOptions {
  /** Looks the type up, lifts older versions and validates; a type that is not in it is refused. @default none: the data as it came */
  readonly registry?: SchemaRegistry | undefined;
  /** Of the body, decompressed or as it came. @default 16_777_216 (16 MiB) */
  readonly maxDecompressedBytes?: number | undefined;
}

const shape: Shape = { registry: any, maxDecompressedBytes: integer(1) };

/**
 * The event that a message carries, in either mode of CloudEvents. Rejects with BUS_UNDECODABLE for bytes that are no such
 * message (a missing type too), with BUS_INVALID_DATA for a type or version that the registry lacks and for data that its
 * schema refuses.
 *
 * @example
 * const event = await decodeEvent({ headers, body }, { registry: new SchemaRegistry([OrderPlaced]) });
 */
export async function decodeEvent(message: WireMessage, options: DecodeEventOptions = {}): Promise<BusEvent> {
  checkOptions("decodeEvent", options, shape);
  const { registry, maxDecompressedBytes = 16_777_216 } = options;
  const headers = new Map<string, string>();
  for (const [name, value] of Object.entries(message.headers ?? {}))
    if (value !== undefined) headers.set(name.toLowerCase(), value);
  const envelope = decodeEnvelope(
    {
      topic: message.topic ?? "",
      body: message.body,
      key: message.key,
      header: (name) => headers.get(name.toLowerCase()),
      headers: () => [...headers],
    },
    { maxDecompressedBytes, now: systemClock.now() },
  );
  if (registry === undefined) return new ReceivedEvent(envelope, envelope.data);
  const definition = definitionFor(registry, envelope.type, envelope.version);
  const data =
    envelope.version < definition.version ? lift(definition, envelope.version, envelope.data) : envelope.data;
  const output = await check(definition.schema, data, `data (${envelope.type})`);
  return new ReceivedEvent({ ...envelope, version: definition.version }, output);
}

/** That of the very version, else the latest, to which older data can be lifted. */
function definitionFor(registry: SchemaRegistry, type: string, version: number): EventDefinition {
  const definition = registry.get(type, version) ?? registry.latest(type);
  const which = `${type} version ${version}`;
  if (definition === undefined)
    throw new BusError("BUS_INVALID_DATA", `unknown type (${which}): it is not in the registry`);
  if (definition.version < version)
    throw new BusError(
      "BUS_INVALID_DATA",
      `unknown version (${which}): the registry knows ${definition.version} at most`,
    );
  return definition;
}
