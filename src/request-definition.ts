import type { StandardSchemaV1 } from "@standard-schema/spec";

/** A question with a typed answer. Travels directly: never captured by a stream, never stored. */
export interface RequestDefinition<Type extends string = string, ReqIn = any, ReqOut = any, ResIn = any, ResOut = any> {
  readonly type: Type;
  readonly request: StandardSchemaV1<ReqIn, ReqOut>;
  readonly response: StandardSchemaV1<ResIn, ResOut>;
}

export type RequestInputOf<R extends RequestDefinition> =
  R extends RequestDefinition<string, infer In, any, any, any> ? In : never;
export type RequestOf<R extends RequestDefinition> =
  R extends RequestDefinition<string, any, infer Out, any, any> ? Out : never;
export type ResponseInputOf<R extends RequestDefinition> =
  R extends RequestDefinition<string, any, any, infer In, any> ? In : never;
export type ResponseOf<R extends RequestDefinition> =
  R extends RequestDefinition<string, any, any, any, infer Out> ? Out : never;
