/**
 * One order fails twice and recovers by retry; one never will and becomes a dead letter, which is listed, repaired and
 * replayed. `node examples/03-retries-and-dead-letters.ts [url]`
 */
import { connect, defineEvent, Reject, typed } from "../src/index.ts"; // in your project: from "omnibus"

const OrderPlaced = defineEvent("orders.placed", {
  schema: typed<{ orderId: string; address: string }>(),
  key: (order) => order.orderId,
});

const bus = await connect(process.argv[2] ?? "memory:", {
  retry: { maxAttempts: 3, backoff: { baseMs: 20, maxMs: 100 } },
});

const shipped = new Set<string>();
const gaveUp = Promise.withResolvers<void>();
const allShipped = Promise.withResolvers<void>();
const progress = bus.onStatus((status) => {
  if (status.type === "dead-lettered") gaveUp.resolve();
});

await bus.subscribe(
  OrderPlaced,
  ({ data }, { attempt }) => {
    console.log(`${data.orderId}, attempt ${attempt}`);
    if (data.address === "") throw new Reject("no address"); // another attempt would not help
    if (data.orderId === "o-2" && attempt < 3) throw new Error("the carrier does not answer");
    shipped.add(data.orderId);
    if (shipped.size === 3) allShipped.resolve();
  },
  { group: "shipping" },
);

await bus.publish(OrderPlaced, { orderId: "o-1", address: "1 Main St" });
await bus.publish(OrderPlaced, { orderId: "o-2", address: "2 Main St" });
await bus.publish(OrderPlaced, { orderId: "o-3", address: "" });
await gaveUp.promise;

const { items } = await bus.deadLetters.list({ group: "shipping" });
for (const letter of items) {
  console.log(`dead letter after ${letter.attempts} attempt: ${letter.reason.message}`);
  // To the group that gave it up and to no other, with the same id. The data is checked like any other.
  await bus.deadLetters.replay(letter.id, { data: { orderId: "o-3", address: "3 Main St" } });
}

await allShipped.promise;
const left = await bus.deadLetters.count({ group: "shipping" });
progress[Symbol.dispose]();
await bus.close();
console.log(`shipped ${[...shipped].toSorted().join(", ")}; ${left} dead letters left`);
