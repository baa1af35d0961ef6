/**
 * Two processes share one SQLite file. The worker is killed in the middle of its work, another one goes on: nothing is
 * lost, and what it had not finished is handled again. `node examples/05-two-processes.ts [url]`, of anything but memory.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, defineEvent, typed } from "../src/index.ts"; // in your project: from "omnibus"

const OrderPlaced = defineEvent("orders.placed", {
  schema: typed<{ orderId: string; customer: string }>(),
  key: (order) => order.customer,
});
const orders = 300;

if (process.argv[2] === "worker") await work(process.argv[3] ?? "");
else await main();

async function work(url: string): Promise<void> {
  const bus = await connect(url, { name: "worker" });
  process.once("SIGTERM", () => void bus.close().then(() => process.disconnect()));
  await bus.subscribe(
    OrderPlaced,
    async ({ data }) => {
      await sleep(5);
      await new Promise((told) => process.send?.(data.orderId, told)); // the effect; returning settles the event
    },
    { group: "shipping" },
  );
}

async function main(): Promise<void> {
  if (process.argv[2]?.startsWith("memory") === true)
    throw new TypeError("two processes share no memory: give a broker's url");
  const folder = mkdtempSync(join(tmpdir(), "omnibus-example-"));
  const url = process.argv[2] ?? `sqlite:${join(folder, "bus.db")}`;
  const handled: string[] = [];

  // A group starts at the oldest event: it need not be there yet.
  const bus = await connect(url, { name: "shop" });
  const ids = Array.from({ length: orders }, (_, at) => `o-${at}`);
  const outcomes = await bus.publishMany(
    ids.map((orderId, at) => OrderPlaced.of({ orderId, customer: `c-${at % 20}` })),
  );
  console.log(`${outcomes.filter((outcome) => outcome.ok).length} orders published`);

  const first = startWorker(url, handled);
  await until(() => handled.length >= orders / 3);
  first.kill("SIGKILL");
  await once(first, "exit");
  console.log(`worker ${first.pid} killed after ${handled.length} orders`);

  const second = startWorker(url, handled);
  await until(() => new Set(handled).size === orders);
  second.kill("SIGTERM"); // stops as it should: finishes what runs, settles, closes
  await once(second, "exit");
  console.log(`worker ${second.pid} did the rest; ${handled.length - orders} orders were handled twice`);

  await bus.close();
  rmSync(folder, { recursive: true, force: true });
  const lost = ids.filter((id) => !handled.includes(id));
  console.log(`${orders} published, ${new Set(handled).size} handled, ${lost.length} lost`);
}

function startWorker(url: string, handled: string[]): ChildProcess {
  const worker = fork(import.meta.filename, ["worker", url]);
  worker.on("message", (orderId) => handled.push(orderId as string));
  return worker;
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 1_500) throw new Error("this takes too long");
    await sleep(20);
  }
}
