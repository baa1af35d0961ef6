import { describe, expect, it, onTestFinished, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { type Bus, type BusOptions, connect } from "../../src/index.ts";
import { failureOf, Tick } from "../support/events.ts";
import { allowTo, documentedRights, type Right } from "../support/kafka-rights.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { assertLives } from "../support/service-life.ts";
import { testBroker } from "../support/test-broker.ts";
import { withinTwoSeconds } from "../support/within-two-seconds.ts";

vi.setConfig({ testTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true, variant: "restricted" });

async function busOf(user: string, prefix: string, options: BusOptions = {}): Promise<Bus> {
  const driver = kafka({ brokers: broker!.url.replace("omnibus:", `${user}:`), mechanism: "plain" });
  const bus = await connect({ driver, prefix, connectTimeoutMs: 15_000, ...options });
  onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
  return bus;
}

const allowed = (prefix: string, rights: readonly Right[]): Promise<void> => allowTo(broker!, "app", prefix, rights);

describe.skipIf(broker === undefined)("a user with few rights, at Kafka", () => {
  it("those that docs/kafka.md names are enough for everything", async () => {
    const prefix = freshPrefix();
    await allowed(prefix, documentedRights());
    const warned: unknown[] = [];
    const warn = (...what: readonly unknown[]): void => void warned.push(what);
    const logger = { debug: () => undefined, info: () => undefined, warn, error: warn };
    const bus = await busOf("app", prefix, { logger });
    await assertLives(bus);
    await bus.streams.ensure({ name: "orders", topics: ["orders.>"], maxAgeMs: 3_600_000 });
    expect(await bus.groups.delete("f")).toBe(true);
    expect(await bus.streams.delete("orders")).toBe(true);
    expect(JSON.stringify(warned)).not.toContain("AUTHENTICATION");
  });

  it("reading and writing are enough where everything is there, with manage: verify", async () => {
    const prefix = freshPrefix();
    await assertLives(await busOf("omnibus", prefix));
    await allowed(prefix, [
      { of: "topic", operation: "Read" },
      { of: "topic", operation: "Write" },
      { of: "group", operation: "Read" },
    ]);
    await assertLives(await busOf("app", prefix, { manage: "verify" }));
  });

  it("one without any is refused at connect, at once and for good", async () => {
    const error = await withinTwoSeconds(() => failureOf(busOf("app", freshPrefix())));
    expect(error).toMatchObject({ code: "BUS_AUTHENTICATION", retryable: false });
  });

  it("one who may only read is refused what he publishes, and one who may only write what he subscribes to", async () => {
    const made = async (operation: Right["operation"]): Promise<() => Promise<Bus>> => {
      const prefix = freshPrefix();
      const all = await busOf("omnibus", prefix);
      await all.subscribe(Tick, () => undefined, { group: "g" });
      await all.publish(Tick, { n: 1 });
      await allowed(prefix, [
        { of: "topic", operation },
        { of: "group", operation: "Read" },
      ]);
      return () => busOf("app", prefix, { manage: "verify" });
    };
    const reader = await (await made("Read"))();
    const unwritten = await withinTwoSeconds(() => failureOf(reader.publish(Tick, { n: 2 })));
    expect(unwritten).toMatchObject({ code: "BUS_AUTHENTICATION", outcome: "rejected" });
    const joining = await made("Write");
    const unread = await withinTwoSeconds(() => failureOf(joining()));
    expect(unread).toMatchObject({ code: "BUS_AUTHENTICATION", retryable: false }); // who can't read definitions
  });
});
