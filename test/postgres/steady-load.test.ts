import { setTimeout as pause } from "node:timers/promises";
import { expect, it } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const Load = defineEvent("load", { schema: typed<{ n: number; text: string }>() });
const isFull = process.env["OMNIBUS_FULL"] === "1";
const [seconds, rate, kept] = [600, 150, 5_000]; // 90,000 events: eighteen times what is kept
const broker = isFull ? await testBroker("postgres", { own: true }) : undefined;
const port = broker?.servers[0]?.port ?? 0;

it.skipIf(broker === undefined)(
  `tables and indexes stay as large as they are under a steady load (${seconds} s)`,
  { timeout: seconds * 1_000 + 60_000 },
  async () => {
    const schema = await freshSchema(port);
    await using bus = await connect(broker!.url, {
      postgres: { schema },
      streams: [{ name: "events", topics: [">"], maxMessages: kept, whenFull: "drop-oldest" }],
      retry: { maxAttempts: 2, backoff: { baseMs: 5 } },
    });
    const handled = { group: 0, none: 0 };
    for (const order of ["group", "none"] as const)
      await bus.subscribe(
        Load,
        ({ data }, { attempt }) => {
          if (data.n % 20 === 0 && attempt === 1) throw new Error("not yet");
          handled[order] += 1;
        },
        { group: order, order },
      );
    const sizes: number[] = [];
    const from = performance.now();
    let published = 0;
    while (performance.now() - from < seconds * 1_000) {
      const batch = Array.from({ length: rate / 10 }, () => (published += 1));
      await Promise.all(
        batch.map((n) => bus.publish(Load, { n, text: "x".repeat(500) }, { key: `k${n % 50}`, ...delayOf(n) })),
      );
      if (performance.now() - from > (sizes.length * seconds * 1_000) / 30) sizes.push(await sizeOf(schema));
      await pause(100);
    }
    await until(
      () => handled.group >= published && handled.none >= published,
      () => `${published}; ${handled.group} and ${handled.none} were handled`,
    );
    const most = (share: readonly number[]): number => Math.max(...share);
    const third = Math.floor(sizes.length / 3);
    // what autovacuum, or ours, has not come to yet
    expect(most(sizes.slice(-third))).toBeLessThan(most(sizes.slice(third, -third)) * 1.25 + 1_000_000);
  },
);

const delayOf = (n: number): { readonly delayMs?: number } => (n % 10 === 0 ? { delayMs: 200 } : {});

async function sizeOf(schema: string): Promise<number> {
  const sum = `SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relnamespace = '${schema}'::regnamespace AND c.relkind = 'r'`;
  return Number((await postgresCommand(port, sum))[0]?.[0]);
}
