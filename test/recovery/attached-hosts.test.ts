import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Driver } from "../../src/driver.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { Seen, Tick } from "../support/events.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

const brokers = { kafka: await testBroker("kafka"), rabbitmq: await testBroker("rabbitmq") };
const driverOf = (name: keyof typeof brokers): Driver =>
  name === "kafka" ? kafka({ brokers: brokers.kafka!.url }) : rabbitmq({ url: brokers.rabbitmq!.url });

/** The same, as a process on another machine says it of itself. */
const onHost = (driver: Driver, host: string): Driver =>
  Object.create(driver, {
    connect: {
      value: (context: Parameters<Driver["connect"]>[0]) =>
        driver.connect({ ...context, member: { ...context.member, host } }),
    },
  }) as Driver;

describe.each(["kafka", "rabbitmq"] as const)("a file as the state store beside %s", (name) => {
  it.skipIf(brokers[name] === undefined)(
    "is refused to a member on another host than the others', and to nobody on theirs",
    { timeout: 60_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "omnibus-hosts-"));
      onTestFinished(() => rm(folder, { recursive: true }));
      const [prefix, state] = [freshPrefix(), `sqlite:${join(folder, "state.db")}`];
      const open = async (host: string): Promise<Bus> => {
        const bus = await connect({ driver: onHost(driverOf(name), host), prefix, state });
        onTestFinished(() => bus.close({ timeoutMs: 2_000 }).then(() => undefined));
        return bus;
      };
      const seen = new Seen();
      const [first, second, elsewhere] = [await open("here"), await open("here"), await open("elsewhere")];
      for (const bus of [first, second]) await bus.subscribe(Tick, seen.handle, { group: "g", order: "none" });
      await expect(elsewhere.subscribe(Tick, seen.handle, { group: "g", order: "none" })).rejects.toMatchObject({
        code: "BUS_INVALID_OPTION",
        message: expect.stringMatching(/elsewhere, here/) as string,
      });
    },
  );
});
