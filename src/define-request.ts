import type { StandardSchemaV1 } from "@standard-schema/spec";
import { checkSchema } from "./define-event.ts";
import { any, checkOptions } from "./option-check.ts";
import type { RequestDefinition } from "./request-definition.ts";
import { validateTopic } from "./topic.ts";

type In<Schema extends StandardSchemaV1> = StandardSchemaV1.InferInput<Schema>;
type Out<Schema extends StandardSchemaV1> = StandardSchemaV1.InferOutput<Schema>;

/**
 * Defines a question and its answer. The type is the topic that the question travels on. Throws BUS_INVALID_TOPIC or
 * BUS_INVALID_OPTION.
 *
 * @example
 * const CheckStock = defineRequest("stock.check", {
 *   request: z.object({ sku: z.string() }),
 *   response: z.object({ left: z.number() }),
 * });
 */
export function defineRequest<const Type extends string, Req extends StandardSchemaV1, Res extends StandardSchemaV1>(
  type: Type,
  schemas: { readonly request: Req; readonly response: Res },
): RequestDefinition<Type, In<Req>, Out<Req>, In<Res>, Out<Res>> {
  validateTopic(type);
  const where = `request "${type}"`;
  checkOptions(where, schemas, { request: any, response: any });
  checkSchema(where, schemas?.request, "request");
  checkSchema(where, schemas?.response, "response");
  return Object.freeze({ type, request: schemas.request, response: schemas.response }) as RequestDefinition<
    Type,
    In<Req>,
    Out<Req>,
    In<Res>,
    Out<Res>
  >;
}
