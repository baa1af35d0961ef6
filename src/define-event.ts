import type { StandardSchemaV1 } from "@standard-schema/spec";
import { attributeProblem } from "./attribute.ts";
import { BusError, ValidationError } from "./errors.ts";
import { type DefineEventOptions, type EventDefinition, made, type PublishOptions } from "./event.ts";
import { describeKind } from "./internal/describe.ts";
import { parseTemplate, type TemplateToken } from "./internal/topic-template.ts";
import { any, callable, checkOptions, integer, oneOf, printable, record, text } from "./option-check.ts";
import { tokenProblem, topicProblem, validatePattern, validateTopic } from "./topic.ts";

type Out<Schema extends StandardSchemaV1> = StandardSchemaV1.InferOutput<Schema>;
/** An unchecked view of the options: what callers without types give. */
interface Given {
  readonly schema: StandardSchemaV1;
  readonly topic?: string | undefined;
  readonly key?: ((data: unknown) => unknown) | undefined;
  readonly version?: number | undefined;
  readonly upcast?: EventDefinition["upcast"] | undefined;
  readonly priority?: EventDefinition["priority"] | undefined;
}

const maxVersion = 2 ** 31 - 1; // a CloudEvents integer
const shape = {
  schema: any,
  topic: text,
  key: callable,
  version: integer(1, maxVersion),
  upcast: record,
  priority: oneOf("low", "normal", "high", "critical"),
};

/**
 * Defines an event: what it is called, what it carries, and where it travels. Throws BUS_INVALID_OPTION or BUS_INVALID_TOPIC.
 * The value registers nothing and may be made in any module.
 *
 * @example
 * const OrderPlaced = defineEvent("orders.placed", {
 *   schema: z.object({ orderId: z.string(), region: z.string(), total: z.number() }),
 *   topic: "orders.{region}.placed",
 *   key: (order) => order.orderId,
 * });
 */
export function defineEvent<
  const Type extends string,
  Schema extends StandardSchemaV1,
  const Topic extends string = Type,
  const Version extends number = 1,
>(
  type: Type,
  options: DefineEventOptions<Schema, Topic, Version>,
): EventDefinition<Type, StandardSchemaV1.InferInput<Schema>, Out<Schema>, Version> {
  checkType("event", type);
  const where = `event "${type}"`;
  checkOptions(where, options, shape);
  const given = options as Given;
  checkSchema(where, given?.schema);
  const version = given.version ?? 1;
  checkUpcast(where, given.upcast, version);
  const template = given.topic ?? type;
  const tokens = templateTokens(where, template);
  const definition: EventDefinition = {
    type,
    version,
    schema: given.schema as StandardSchemaV1<unknown, unknown>,
    pattern: tokens.map((token) => ("field" in token ? "*" : token.literal)).join("."),
    upcast: { ...given.upcast },
    priority: given.priority ?? "normal",
    topicOf: tokens.some((token) => "field" in token)
      ? (data: unknown) => fill(where, template, tokens, data)
      : () => template,
    keyOf: (data: unknown) => (given.key === undefined ? undefined : keyFrom(where, given.key, data)),
    of: (data: unknown, publish?: PublishOptions) => ({
      [made]: true,
      event: definition,
      topic: definition.pattern,
      data,
      options: publish,
    }),
  };
  return Object.freeze(definition) as EventDefinition<Type, StandardSchemaV1.InferInput<Schema>, Out<Schema>, Version>;
}

/**
 * A type without a schema at run time: what the compiler lets pass is published, what arrives is believed.
 *
 * @example
 * const Tick = defineEvent("tick", { schema: typed<{ at: number }>() });
 */
export function typed<T>(): StandardSchemaV1<T, T> {
  return { "~standard": { version: 1, vendor: "omnibus", validate: (value) => ({ value: value as T }) } };
}

/** Refuses a type that can't travel. `what`: "event" or "request". */
function checkType(what: string, type: unknown): void {
  const problem = typeof type === "string" ? attributeProblem(type) : `it must be a string, not ${describeKind(type)}`;
  if (problem !== undefined) throw new BusError("BUS_INVALID_OPTION", `invalid ${what} type: ${problem}`);
}

/** Refuses what is no Standard Schema. */
export function checkSchema(where: string, schema: unknown, field = "schema"): void {
  const holder = typeof schema === "object" || typeof schema === "function" ? schema : null;
  const standard = (holder as Partial<StandardSchemaV1> | null)?.["~standard"];
  if (typeof standard?.validate === "function") return;
  const why = `must be a Standard Schema (zod 3.24, valibot 1, arktype 2 or newer, or typed<T>()), not ${describeKind(schema)}`;
  throw new BusError("BUS_INVALID_OPTION", `${where}: "${field}" ${why}`);
}

function checkUpcast(where: string, upcast: Given["upcast"], version: number): void {
  for (const [from, step] of Object.entries(upcast ?? {})) {
    const known = /^[1-9]\d*$/.test(from) && Number(from) < version;
    const problem = known ? callable(step) : `must be a version below ${version}`;
    if (problem !== undefined)
      throw new BusError("BUS_INVALID_OPTION", `${where}: "upcast.${printable(from)}" ${problem}`);
  }
}

function templateTokens(where: string, template: string): readonly TemplateToken[] {
  const tokens = parseTemplate(template);
  if (typeof tokens === "string")
    throw new BusError("BUS_INVALID_TOPIC", `${where}: invalid topic "${printable(template)}": ${tokens}`);
  const wildcards = tokens.some((token) => "literal" in token && (token.literal === "*" || token.literal === ">"));
  if (wildcards)
    throw new BusError(
      "BUS_INVALID_TOPIC",
      `${where}: invalid topic "${printable(template)}": a wildcard; take a token from the data with {field}`,
    );
  validatePattern(tokens.map((token) => ("field" in token ? "*" : token.literal)).join("."));
  return tokens;
}

function fill(where: string, template: string, tokens: readonly TemplateToken[], data: unknown): string {
  let topic = "";
  for (const token of tokens) {
    if (topic !== "") topic += ".";
    topic += "field" in token ? tokenFrom(where, template, token.field, data) : token.literal;
  }
  try {
    return validateTopic(topic);
  } catch {
    // That error repeats the topic, which is the data's now.
    throw new BusError("BUS_INVALID_TOPIC", `${where}: no topic from the data (${template}): ${topicProblem(topic)}`);
  }
}

function tokenFrom(where: string, template: string, field: string, data: unknown): string {
  const value = (data as Readonly<Record<string, unknown>> | null | undefined)?.[field];
  const problem = fieldProblem(value);
  if (problem === undefined) return String(value);
  throw new BusError("BUS_INVALID_TOPIC", `${where}: no topic from the data (${template}): "${field}" ${problem}`);
}

function fieldProblem(value: unknown): string | undefined {
  switch (typeof value) {
    case "string":
      return tokenProblem(value);
    case "number":
    case "bigint":
    case "boolean":
      return tokenProblem(String(value));
    case "undefined":
      return "is missing";
    case "object":
    case "function":
    case "symbol":
      return `is ${describeKind(value)}, not a string, number, boolean or bigint`;
  }
}

function keyFrom(where: string, keyOf: (data: unknown) => unknown, data: unknown): string {
  let key: unknown;
  try {
    key = keyOf(data);
  } catch (cause) {
    throw new ValidationError(`${where}: its key function failed`, [], { cause });
  }
  const problem = typeof key === "string" ? attributeProblem(key) : `it must be a string, not ${describeKind(key)}`;
  if (problem !== undefined) throw new ValidationError(`${where}: invalid key from the data: ${problem}`, []);
  return key as string;
}
