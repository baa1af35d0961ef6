/**
 * Types end to end: a schema, topics made from the data, an older version that is lifted on receipt. zod is one of the
 * libraries that fit; any Standard Schema does. `node examples/02-typed-events.ts [url]`
 */
import { z } from "zod";
import { connect, defineEvent, isBusError, ValidationError } from "../src/index.ts"; // in your project: from "omnibus"

// What the old shop still publishes.
const OldOrderPlaced = defineEvent("orders.placed", {
  schema: z.object({ id: z.string(), region: z.string(), amount: z.number() }),
  topic: "orders.{region}.placed",
});

// What the new one publishes and handles. Publishers give the input form (a string), handlers get the output (a Date).
const OrderPlaced = defineEvent("orders.placed", {
  version: 2,
  schema: z.object({
    orderId: z.string(),
    region: z.string(),
    total: z.number().positive(),
    at: z.iso.datetime().transform((text) => new Date(text)),
  }),
  topic: "orders.{region}.placed",
  key: (order) => order.orderId,
  upcast: {
    1: (old: { id: string; region: string; amount: number }) => ({
      orderId: old.id,
      region: old.region,
      total: old.amount,
      at: "2020-01-01T00:00:00Z",
    }),
  },
});

const bus = await connect(process.argv[2] ?? "memory:");
const seen: string[] = [];
const all = Promise.withResolvers<void>();

await bus.subscribe(
  OrderPlaced,
  ({ data, topic, version }) => {
    seen.push(`${data.orderId} of ${data.at.getUTCFullYear()} on ${topic}, version ${version}: ${data.total}`);
    if (seen.length === 2) all.resolve();
  },
  { group: "shipping" },
);

await bus.publish(OldOrderPlaced, { id: "o-1", region: "eu", amount: 12 });
await bus.publish(OrderPlaced, { orderId: "o-2", region: "us", total: 30, at: "2026-11-21T12:00:00Z" });

// @ts-expect-error a wrong payload does not compile
await bus.publish(OrderPlaced, { orderId: 3 }).catch(refused);
// This one compiles; the schema refuses it before anything is sent.
await bus.publish(OrderPlaced, { orderId: "o-4", region: "eu", total: -1, at: "2026-11-21T12:00:00Z" }).catch(refused);
// A value that would make two tokens of a topic is refused too.
await bus
  .publish(OrderPlaced, { orderId: "o-5", region: "eu.west", total: 1, at: "2026-11-21T12:00:00Z" })
  .catch(refused);

function refused(error: unknown): void {
  const where = error instanceof ValidationError ? error.issues.map((issue) => issue.path.join(".")).join(", ") : "";
  console.log(`refused: ${isBusError(error) ? error.code : String(error)} ${where}`.trimEnd());
}

await all.promise;
await bus.close();
for (const line of seen.toSorted()) console.log(line);
console.log(`${seen.length} orders handled`);
