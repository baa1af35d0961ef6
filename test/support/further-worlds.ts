import { Admin } from "@platformatic/kafka";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { postgres } from "../../src/drivers/postgres/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import type { BusWorld } from "./broker-worlds.ts";
import { forgetTopics } from "./kafka-session.ts";
import { rabbitCommand } from "./rabbitmq-command.ts";
import { forgetPrefix } from "./rabbitmq-session.ts";
import { testBroker } from "./test-broker.ts";

export async function postgresWorld(): Promise<BusWorld> {
  const broker = await testBroker("postgres", { own: true });
  const port = broker?.servers[0]?.port ?? 0;
  return {
    name: "postgres",
    broker,
    driver: (url = broker!.url) => postgres({ url }),
    namesOf: async (prefix) => {
      const rows = await postgresCommand(port, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'i', 'S')");
      return rows.map(([name]) => String(name)).filter((name) => name.includes(prefix));
    },
    forget: async () => {}, // it reserves nothing
  };
}

export async function rabbitWorld(): Promise<BusWorld> {
  const broker = await testBroker("rabbitmq", { own: true });
  return {
    name: "rabbitmq",
    broker,
    driver: (url = broker!.url) => rabbitmq({ url }),
    namesOf: async (prefix) => {
      const asked = ["queues", "exchanges"].map((what) => rabbitCommand(broker!, "-q", `list_${what}`, "name"));
      return (await Promise.all(asked))
        .join("\n")
        .split("\n")
        .filter((name) => name.includes(prefix));
    },
    forget: (prefix) => forgetPrefix(broker!.url, prefix),
  };
}

export async function kafkaWorld(): Promise<BusWorld> {
  const broker = await testBroker("kafka", { own: true });
  return {
    name: "kafka",
    broker,
    driver: (url = broker!.url) => kafka({ brokers: url }),
    namesOf: async (prefix) => {
      const admin = new Admin({ clientId: "test", bootstrapBrokers: [`127.0.0.1:${broker!.servers[0]!.port}`] });
      try {
        return (await admin.listTopics()).filter((name) => name.includes(prefix));
      } finally {
        await admin.close();
      }
    },
    forget: async (prefix) => {
      try {
        await forgetTopics(broker!, prefix);
      } catch (error) {
        if (!String(error).includes("does not host this topic")) throw error; // another bus of the test was faster
      }
    },
  };
}
