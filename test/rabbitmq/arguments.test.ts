import { expect, it, onTestFinished } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { connect } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { Tick } from "../support/events.ts";
import { isLocal, rabbitCommand } from "../support/rabbitmq-command.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

type Arguments = Readonly<Record<string, unknown>>;

/** As the server has them, by name. */
async function queuesOf(prefix: string): Promise<ReadonlyMap<string, Arguments>> {
  const text = await rabbitCommand(broker!, "list_queues", "-q", "name", "arguments", "--formatter", "json");
  const rows = JSON.parse(text) as readonly { readonly name: string; readonly arguments: unknown }[];
  // a list of [name, type, value], or an object by name
  const asObject = (found: unknown): Arguments =>
    Array.isArray(found)
      ? Object.fromEntries((found as readonly (readonly [string, string, unknown])[]).map(([k, , v]) => [k, v]))
      : (found as Arguments);
  const own = rows.filter(({ name }) => name.startsWith(`${prefix}.`));
  return new Map(own.map((row) => [row.name.slice(prefix.length + 1), asObject(row.arguments)]));
}

// what keeps a promise at a server that fails, or of a newer release, without showing at this one
it.skipIf(!isLocal(broker))("queues are made with what their promises rest on", async () => {
  const prefix = freshPrefix();
  const bus = await connect({ driver: rabbitmq({ url: broker!.url }), prefix });
  onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
  await bus.subscribe(Tick, () => undefined, { group: "unordered", order: "none" });
  await bus.subscribe(Tick, () => undefined, { group: "ordered", order: "group" });
  await bus.publish(Tick, { n: 1 }, { delayMs: 1_500 });
  await bus.send("unordered", Tick, { n: 2 });
  let queues = await queuesOf(prefix);
  await until(
    async () => (queues = await queuesOf(prefix)).has("q.unordered"),
    () => [...queues.keys()].join(" "),
  );
  const those = (begin: string): readonly Arguments[] =>
    [...queues].filter(([name]) => name.startsWith(begin)).map(([, found]) => found);
  const groups = [...those("g."), ...those("q.")];
  expect(groups.length).toBeGreaterThan(2);
  for (const found of groups) expect(found).toMatchObject({ "x-queue-type": "quorum", "x-delivery-limit": 1_000_000 });
  for (const found of those("g.ordered.")) expect(found).toMatchObject({ "x-single-active-consumer": true });
  const steps = those("w.");
  expect(steps.length).toBeGreaterThan(0);
  for (const found of steps)
    expect(found).toMatchObject({
      "x-queue-type": "quorum",
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    });
  for (const found of [...those("s."), ...those("l")]) expect(found).toMatchObject({ "x-queue-type": "stream" });
});
