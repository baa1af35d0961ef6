/** Compiled by `npm run typecheck`, never run: what is inferred of definitions, and what does not compile. */
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import type { Bus } from "../../src/bus.ts";
import { defineEvent, typed } from "../../src/define-event.ts";
import { defineRequest } from "../../src/define-request.ts";
import type { BusEvent, EventDefinition, EventOf, InputOf } from "../../src/event.ts";
import { outgoing } from "../../src/outgoing.ts";
import type { RequestInputOf, RequestOf, ResponseInputOf, ResponseOf } from "../../src/request-definition.ts";
import type { Same } from "./expect-type.ts";

declare const bus: Bus;

const OrderPlaced = defineEvent("orders.placed", {
  schema: z.object({ orderId: z.string(), region: z.enum(["eu", "us"]), total: z.number() }),
  topic: "orders.{region}.placed",
  key: (order) => order.orderId,
});
const OrderShipped = defineEvent("orders.shipped", {
  schema: z.object({ orderId: z.string(), at: z.string().transform((text) => new Date(text)) }),
  version: 2,
  upcast: { 1: (old: { readonly order: string; readonly when: string }) => ({ orderId: old.order, at: old.when }) },
});
const Valibot = defineEvent("v", { schema: v.object({ n: v.pipe(v.string(), v.transform(Number)) }) });
const Arktype = defineEvent("a", { schema: type({ n: "string.numeric.parse" }), topic: "a.{n}" });
const Typed = defineEvent("t", { schema: typed<{ readonly n: bigint }>(), topic: "t.{n}" });

// The types of what is published and of what is handled, schema transforms included.
export const inputs: readonly [
  Same<InputOf<typeof OrderPlaced>, { orderId: string; region: "eu" | "us"; total: number }>,
  Same<InputOf<typeof OrderShipped>, { orderId: string; at: string }>,
  Same<InputOf<typeof Valibot>, { n: string }>,
  Same<InputOf<typeof Arktype>, { n: string }>,
  Same<InputOf<typeof Typed>, { readonly n: bigint }>,
] = [true, true, true, true, true];
export const outputs: readonly [
  Same<EventOf<typeof OrderShipped>["data"], { orderId: string; at: Date }>,
  Same<EventOf<typeof Valibot>["data"], { n: number }>,
  Same<EventOf<typeof Arktype>["data"], { n: number }>,
  Same<EventOf<typeof Typed>["data"], { readonly n: bigint }>,
] = [true, true, true, true];

// Type and version are literals, so that a union narrows by either.
export const literals: readonly [
  Same<EventOf<typeof OrderPlaced>["type"], "orders.placed">,
  Same<EventOf<typeof OrderPlaced>["version"], 1>,
  Same<EventOf<typeof OrderShipped>["version"], 2>,
  Same<(typeof OrderShipped)["version"], 2>,
] = [true, true, true, true];
export function narrows(event: EventOf<readonly [typeof OrderPlaced, typeof OrderShipped]>): number {
  return event.type === "orders.shipped" ? event.data.at.getTime() : event.data.total;
}
export function narrowsByVersion(event: EventOf<typeof OrderPlaced | typeof OrderShipped>): number {
  return event.version === 2 ? event.data.at.getTime() : event.data.total;
}

// A handler gets what the list of definitions says, in whatever form it is written.
await bus.subscribe(OrderPlaced, ({ data }, { attempt, signal }) => [data.total + attempt, signal.aborted]);
await bus.subscribe([OrderPlaced, OrderShipped], (event) => narrows(event), { group: "audit" });
await bus.subscribe(OrderPlaced, { handle: (event) => event.data.total, canHandle: (event) => event.data.total > 0 });
await bus.subscribePattern("orders.>", (event) => event.data satisfies unknown);
await bus.subscribePattern<{ readonly n: number }>("orders.>", (event) => event.data.n);

// Functions over any definition keep its types.
export async function publishTwice<Type extends string, In, Out>(
  event: EventDefinition<Type, In, Out>,
  data: In,
): Promise<void> {
  await bus.publish(event, data);
  await bus.publish(event, data);
}
await publishTwice(OrderShipped, { orderId: "o", at: "2030-01-01" });
export const anyDefinition: EventDefinition = OrderShipped;
export const anyEvent = (event: EventOf<typeof OrderPlaced>): BusEvent => event;
await bus.publishMany([OrderPlaced.of({ orderId: "o", region: "eu", total: 1 }), outgoing("a.b", { n: 1 })]);

// Requests: input form on the way out, output form on the way in, on both sides.
const CheckStock = defineRequest("stock.check", {
  request: z.object({ sku: z.string(), site: z.string().default("main") }),
  response: z.object({ left: z.string().transform(Number) }),
});
export const requests: readonly [
  Same<RequestInputOf<typeof CheckStock>, { sku: string; site?: string | undefined }>,
  Same<RequestOf<typeof CheckStock>, { sku: string; site: string }>,
  Same<ResponseInputOf<typeof CheckStock>, { left: string }>,
  Same<ResponseOf<typeof CheckStock>, { left: number }>,
] = [true, true, true, true];

// @ts-expect-error a template with a field that the data lacks
defineEvent("x", { schema: z.object({ region: z.string() }), topic: "x.{regoin}" });
// @ts-expect-error a field that is no token
defineEvent("x", { schema: z.object({ at: z.date() }), topic: "x.{at}" });
// @ts-expect-error a key that is no string
defineEvent("x", { schema: z.object({ n: z.number() }), key: (data) => data.n });
// @ts-expect-error a priority that there is none of
defineEvent("x", { schema: typed<1>(), priority: "urgent" });
// @ts-expect-error no Standard Schema
defineEvent("x", { schema: { parse: () => 1 } });
// @ts-expect-error the output form is not what is published
await bus.publish(OrderShipped, { orderId: "o", at: new Date() });
// @ts-expect-error nor in a batch
OrderShipped.of({ orderId: "o", at: new Date() });
// @ts-expect-error a field too many, which is a misspelt one
await bus.publish(OrderPlaced, { orderId: "o", region: "eu", total: 1, totl: 2 });
// @ts-expect-error a handler of other data
await bus.subscribe(OrderPlaced, (event: BusEvent<string, { readonly total: string }>) => event.data.total);
// @ts-expect-error an item that nobody checked
await bus.publishMany([{ topic: "orders", data: {} }]);
// @ts-expect-error a definition does not change
OrderPlaced.version = 2;
// @ts-expect-error nor does an event
export const rename = (event: EventOf<typeof OrderPlaced>): unknown => (event.id = "x");
