import { afterEach, describe, expect, it } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect, defineEvent, typed } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { isFull, randomFor } from "../../src/testing/settings.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");
const rounds = isFull ? 12 : 2;
const [publishers, each] = [12, isFull ? 400 : 60];

interface Step {
  readonly by: number;
  readonly n: number;
}
const wanted = defineEvent("seam.wanted", { schema: typed<Step>(), key: ({ by }) => `k${by}` });
const other = defineEvent("seam.other", { schema: typed<Step>(), key: ({ by }) => `k${by}` });

const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 2_000 })));
});

async function bus(prefix: string): Promise<Bus> {
  const made = await connect({
    driver: rabbitmq({ url: broker!.url }),
    prefix,
    streams: [{ name: "events", topics: [">"], partitions: 4 }],
  });
  open.push(made);
  return made;
}

describe.skipIf(broker === undefined)("a group that is made while many publish", () => {
  it.each(Array.from({ length: rounds }, (_, round) => [round, round % 2 === 0 ? "none" : "group"] as const))(
    "has each event of before, of meanwhile and of after once, round %i, order %s",
    { timeout: 120_000 },
    async (round, order) => {
      const prefix = freshPrefix();
      const random = randomFor(`seam ${round}`);
      const [one, two, three, reader] = [await bus(prefix), await bus(prefix), await bus(prefix), await bus(prefix)];
      const begin = Math.floor(random() * publishers * each * 0.6);
      const begun = Promise.withResolvers<void>();
      let published = 0;
      const publishing = Promise.all(
        Array.from({ length: publishers }, async (_, by) => {
          const own = [one, two, three][by % 3]!;
          for (let n = 0; n < each; n += 1) {
            await own.publish(n % 5 === 4 ? other : wanted, { by, n });
            if ((published += 1) > begin) begun.resolve();
          }
        }),
      );
      await begun.promise;
      const seen: Step[] = [];
      await reader.subscribe(wanted, ({ data }) => void seen.push(data), { group: "g", order });
      await publishing;
      const expected = publishers * Array.from({ length: each }, (_, n) => n).filter((n) => n % 5 !== 4).length;
      const numbers = (): ReadonlySet<string> => new Set(seen.map(({ by, n }) => `${by}-${n}`));
      await until(
        () => seen.length >= expected,
        () => `${expected} of ${numbers().size}, begun at ${begin}`,
      );
      expect([seen.length, numbers().size], `begun at ${begin}`).toEqual([expected, expected]);
      if (order === "group")
        for (let by = 0; by < publishers; by += 1) {
          const own = seen.filter((step) => step.by === by).map(({ n }) => n);
          expect(own, `of ${by}`).toEqual(own.toSorted((a, b) => a - b));
        }
    },
  );
});
