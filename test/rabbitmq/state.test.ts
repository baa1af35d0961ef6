import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { connect } from "../../src/index.ts";
import { Tick } from "../support/events.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq");

it.skipIf(broker === undefined)(
  "RabbitMQ has key-value by another's store, and says what lacks without one",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "omnibus-rabbitmq-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const prefix = freshPrefix();
    const joined = async (state?: string) => {
      const bus = await connect({
        driver: rabbitmq({ url: broker!.url }),
        prefix,
        ...(state === undefined ? {} : { state }),
      });
      onTestFinished(() => bus.close({ timeoutMs: 1_000 }).then(() => undefined));
      return bus;
    };
    const [one, two] = [
      await joined(`sqlite:${join(folder, "state.db")}`),
      await joined(`sqlite:${join(folder, "state.db")}`),
    ];
    await one.kv("prices").put("a", { n: 1 });
    expect((await two.kv("prices").get("a"))?.value).toEqual({ n: 1 });
    const handled: number[] = [];
    await two.subscribe(Tick, ({ data }) => void handled.push(data.n), { group: "g" });
    await one.publish(Tick, { n: 1 });
    const bare = await joined();
    await expect(bare.kv("prices").get("a")).rejects.toMatchObject({ code: "BUS_UNSUPPORTED" });
  },
);
