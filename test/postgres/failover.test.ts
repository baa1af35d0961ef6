import { expect, it, onTestFinished, vi } from "vitest";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/until.ts";
import { freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 120_000 });

const pair = await testBroker("postgres", { own: true, variant: "replica" });
const Step = defineEvent("step", { schema: typed<{ n: number }>(), key: () => "k" });

it.skipIf(pair === undefined)(
  "a standby that lacks the last events is promoted: what is published there is handled, though it has the places of those",
  async () => {
    const [primary, standby] = pair!.servers;
    const schema = await freshSchema(primary!.port);
    const url = `postgres://omnibus@127.0.0.1:${primary!.port},127.0.0.1:${standby!.port}/postgres`;
    const bus = await connect(url, { postgres: { schema, leaseMs: 12_000 } });
    onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
    const handled = new Set<number>();
    const again: number[] = [];
    const tail: number[] = [];
    const take = ({ data }: { readonly data: { readonly n: number } }): void => {
      if (data.n < 0) again.push(data.n);
      handled.add(data.n);
    };
    await bus.publish(Step, { n: -1 }); // before the group begins
    await bus.subscribe(Step, take, { group: "ordered", order: "group", from: "newest" });
    await bus.subscribe(Step, ({ data }) => void tail.push(data.n));
    const publish = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n += 1) await bus.publish(Step, { n });
    };
    await publish(0, 20);
    await until(() => handled.size === 20, "the first");
    const copied = `SELECT count(*) FROM ${schema}.omnibus_log`;
    await until(
      async () => (await postgresCommand(standby!.port, copied))[0]?.[0] === "21",
      "them at the standby",
      20_000,
    );
    await postgresCommand(standby!.port, "ALTER SYSTEM SET primary_conninfo = ''");
    await postgresCommand(standby!.port, "SELECT pg_reload_conf()");
    const receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
    await until(async () => (await postgresCommand(standby!.port, receivers))[0]?.[0] === "0", "it to be cut off");
    await publish(20, 30);
    await until(() => handled.size === 30, "those that it lacks");
    await primary!.kill();
    await postgresCommand(standby!.port, "SELECT pg_promote()");
    await until(
      () =>
        bus.publish(Step, { n: 30 }).then(
          () => true,
          () => false,
        ),
      "it to take over",
      30_000,
    );
    await publish(31, 40);
    await until(
      () => handled.size === 40,
      () => `what is published there: ${[...handled].slice(30).join()}`,
      40_000,
    );
    expect([...handled].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    await bus.publish(Step, { n: 40 });
    await until(() => tail.includes(40), "the tail to go on", 20_000);
    expect([again, tail.filter((n) => n < 20)]).toEqual([[], Array.from({ length: 20 }, (_, n) => n)]); // nothing from the beginning
  },
);
