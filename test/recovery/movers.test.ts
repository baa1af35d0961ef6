import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { connect, defineEvent, typed } from "../../src/index.ts";
import { upTo } from "../../src/testing/runs.ts";
import { isFull, randomFor } from "../../src/testing/settings.ts";
import { spawnChild, until } from "../../src/testing/index.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";
import { moverConfig, type MoverInput } from "./mover.ts";

const folder = await mkdtemp(join(tmpdir(), "omnibus-movers-"));
afterAll(() => rm(folder, { recursive: true }));
const brokers = { kafka: await testBroker("kafka", { own: true }), rabbitmq: await testBroker("rabbitmq") };
const [kills, messages, overMs] = isFull ? [8, 20_000, 20_000] : [3, 600, 3_000];
const item = defineEvent("item", { schema: typed<{ readonly n: number }>() });

const attached = ["an attached store", join(folder, "state.db")] as const;
const cases = [
  ["kafka", "tiers of the broker", undefined],
  ["rabbitmq", "queues of the broker", undefined],
  ["rabbitmq", ...attached],
  ...(isFull ? [["kafka", ...attached] as const] : []), // waits for a lease of 30 s
] as const;

describe.each(cases)("what is due later at %s, in %s", (driver, _where, path) => {
  it.skipIf(brokers[driver] === undefined)(
    "comes, and none of it early, though those who move it are killed while they do",
    { timeout: 120_000 + overMs },
    async () => {
      const prefix = freshPrefix();
      const state = path === undefined ? undefined : `sqlite:${path}`;
      const input: MoverInput = { driver, url: brokers[driver]!.url, prefix, state };
      const bus = await connect(moverConfig(input));
      onTestFinished(() => void bus.close());
      const came = new Map<string, number[]>();
      await bus.subscribe(item, ({ id }) => void came.set(id, [...(came.get(id) ?? []), Date.now()]), {
        group: "g",
        order: "none",
      });
      await bus.publish(item, { n: -1 }, { delayMs: 1 }); // so that all take part in moving from the first moment
      const movers = upTo(kills).map(() => spawnChild(new URL("mover.ts", import.meta.url), { input }));
      onTestFinished(() => Promise.all(movers.map((mover) => mover.kill())).then(() => undefined));
      await until(() => movers.every(({ lines }) => lines.length > 0), "all to be connected", 30_000);
      const due = new Map<string, number>();
      const random = randomFor(`movers ${driver}`);
      const start = Date.now() + 3_000;
      await Promise.all(
        upTo(messages).map(async (n) => {
          const at = start + Math.floor((n * overMs) / messages);
          const { id } = await bus.publish(item, { n }, { at: new Date(at) });
          due.set(id, at);
        }),
      );
      const killing = upTo(kills)
        .map(() => start + random() * overMs * 0.8)
        .toSorted((one, other) => one - other);
      for (const [n, at] of killing.entries()) {
        await until(() => Date.now() >= at, "the moment", overMs + 10_000);
        await movers[n]!.kill();
      }
      const missing = (): readonly string[] => [...due.keys()].filter((id) => !came.has(id));
      // what one had taken from a store comes when its lease of 30 s is over
      await until(
        () => missing().length === 0,
        () => `${missing().length} that did not come`,
        60_000,
      );
      for (const [id, at] of due)
        for (const time of came.get(id)!) expect(time - at, "ms after it was due").toBeGreaterThanOrEqual(-2);
      expect(Math.max(...[...came.values()].map(({ length }) => length)), "times that one came").toBeLessThanOrEqual(2);
    },
  );
});
