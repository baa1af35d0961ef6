/** A question with a typed answer, and the three ways to get none. `node examples/04-request-reply.ts [url]` */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, defineRequest, isBusError, RemoteError, typed } from "../src/index.ts"; // in your project: from "omnibus"

const CheckStock = defineRequest("stock.check", {
  request: typed<{ sku: string }>(),
  response: typed<{ left: number }>(),
});
const CheckPrice = defineRequest("price.check", {
  request: typed<{ sku: string }>(),
  response: typed<{ price: number }>(),
});

const bus = await connect(process.argv[2] ?? "memory:");

await bus.respond(CheckStock, async ({ sku }, { signal }) => {
  if (sku === "unknown") throw new Error("there is no such thing");
  if (sku === "slow") await sleep(1_000, undefined, { signal }); // aborted when nobody waits any more
  return { left: 3 };
});

const { left } = await bus.request(CheckStock, { sku: "chair" });
console.log(`${left} chairs left`);

const failures = await Promise.all([
  bus.request(CheckStock, { sku: "unknown" }).then(() => "answered", why),
  bus.request(CheckStock, { sku: "slow" }, { timeoutMs: 200 }).then(() => "answered", why),
  bus.request(CheckPrice, { sku: "chair" }, { timeoutMs: 2_000 }).then(() => "answered", why), // nobody responds to it
]);

function why(error: unknown): string {
  if (error instanceof RemoteError) return `${error.code} (${error.remote.message})`;
  return isBusError(error) ? error.code : String(error);
}

await bus.close();
console.log(failures.join(", "));
