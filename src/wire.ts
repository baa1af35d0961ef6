/** The wire format as functions: what a bus writes and reads, for tools and services that have a client of their own. */
export { encodeEvent, type EncodeEventOptions, type EncodedEvent, type WireEvent } from "./encode-event.ts";
export { decodeEvent, type DecodeEventOptions, type WireMessage } from "./decode-event.ts";
export { type JsonField, plainJson, type PlainJsonOptions } from "./plain-json.ts";
export { SchemaRegistry } from "./registry.ts";
export { extension, header, headerPrefix } from "./wire-names.ts";
export type { CompressionOptions, ForeignEvent, ForeignFormat } from "./options.ts";
export type { BusEvent, EventDefinition, Priority } from "./event.ts";
export { BusError, type BusErrorCode, isBusError, ValidationError, type ValidationIssue } from "./errors.ts";
