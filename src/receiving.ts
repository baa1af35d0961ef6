import { decodeEnvelope } from "./codec.ts";
import type { Core } from "./core.ts";
import type { InMessage } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError, isBusError } from "./errors.ts";
import type { BusEvent, EventDefinition } from "./event.ts";
import { decodeForeign, type ForeignMessage } from "./foreign.ts";
import { matchesPattern } from "./internal/topic-trie.ts";
import { notedPlaceId } from "./message-history.ts";
import { ReceivedEvent } from "./received-event.ts";
import { check } from "./schema-check.ts";
import { lift } from "./upcast.ts";

/** The envelope of a message; throws BUS_UNDECODABLE (or what the format said) at what can't be read. */
export function open(core: Core, message: InMessage): Envelope {
  if (message.value !== undefined) return message.value as Envelope;
  const { wire, maxMessageBytes } = core.options;
  for (const foreign of wire.foreign) {
    if (!matchesPattern(foreign.topics, message.topic)) continue;
    try {
      return decodeForeign(foreign.format, placed(message), core.clock.now());
    } catch (error) {
      if (isBusError(error)) throw error;
      throw new BusError("BUS_UNDECODABLE", `reading a message of "${message.topic}" as "${foreign.format.name}"`, {
        cause: error,
      });
    }
  }
  return decodeEnvelope(message, { maxDecompressedBytes: Math.max(maxMessageBytes * 16, 16 * 1_048_576) });
}

/** A copy has another place than what it is a copy of. */
function placed(message: InMessage): ForeignMessage {
  const placeId = notedPlaceId(message);
  if (placeId === undefined) return message;
  const { topic, body, key } = message;
  return { topic, body, key, placeId, header: (name) => message.header(name), headers: () => message.headers() };
}

/** The event as the handlers of this definition get it: lifted to its version, validated, transformed. */
export function view(
  core: Core,
  definition: EventDefinition | undefined,
  envelope: Envelope,
): BusEvent | Promise<BusEvent> {
  if (definition === undefined) return new ReceivedEvent(envelope, envelope.data);
  const older = envelope.version < definition.version;
  const data = older ? lift(definition, envelope.version, envelope.data) : envelope.data;
  const seen = older ? { ...envelope, version: definition.version } : envelope;
  if (!core.options.validateOnReceive) return new ReceivedEvent(seen, data);
  const checked: unknown = check(definition.schema, data, `event "${definition.type}"`);
  return checked instanceof Promise
    ? checked.then((output: unknown) => new ReceivedEvent(seen, output))
    : new ReceivedEvent(seen, checked);
}
