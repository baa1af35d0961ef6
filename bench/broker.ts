import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { Admin } from "@platformatic/kafka";
import amqp from "amqplib";
import pg from "pg";
import { createClient } from "redis";
import type { Broker } from "../scripts/brokers/broker.ts";
import type { BrokerName } from "../scripts/brokers/broker-name.ts";
import { startBroker } from "../scripts/brokers/start-broker.ts";
import type { BenchDriver } from "./options.ts";

/** What a rate depends on besides the machine. */
export interface BrokerFacts {
  readonly server: string;
  readonly client: string;
  readonly durability: string;
}

/** A broker for the bench alone: on loopback, in a temporary folder, gone with it. */
export interface BenchBroker extends AsyncDisposable {
  readonly url: string;
  readonly facts: BrokerFacts;
  /** Removes all that the last round stored, and waits until that is done, so that it doesn't weigh on the next one. */
  readonly reset: () => Promise<void>;
}

type Served = Pick<BenchBroker, "facts" | "reset"> & { readonly close: () => Promise<unknown> };

/** Not every package exports its `package.json`, so it is found by where the package begins. */
function packageVersion(name: string): string {
  const [root = ""] = import.meta.resolve(name).split(`/node_modules/${name}/`);
  const text = readFileSync(new URL(`${root}/node_modules/${name}/package.json`), "utf8");
  return `${name} ${(JSON.parse(text) as { readonly version: string }).version}`;
}

async function serveNats(url: string): Promise<Served> {
  const client = await connect({ servers: url });
  const ask = async <T>(subject: string): Promise<T> => (await client.request(`$JS.API.${subject}`)).json<T>();
  return {
    facts: {
      server: `nats-server ${client.info?.version}`,
      client: `${packageVersion("@nats-io/transport-node")} and ${packageVersion("@nats-io/jetstream")}`,
      durability:
        "one server, streams in files, sync_interval left at its default (2 min): acknowledged when written, not when synced",
    },
    reset: async () => {
      for (;;) {
        const { streams } = await ask<{ readonly streams: readonly string[] | null }>("STREAM.NAMES");
        if (streams === null || streams.length === 0) return;
        for (const name of streams) await ask(`STREAM.DELETE.${name}`);
      }
    },
    close: () => client.close(),
  };
}

async function serveRedis(url: string): Promise<Served> {
  const client = createClient({ url });
  client.on("error", () => {});
  await client.connect();
  const rewriting = async (): Promise<boolean> =>
    /aof_rewrite_(?:in_progress|scheduled):1/.test(await client.info("persistence"));
  // a rewrite in the middle of a round would be measured by whoever it hits: here it happens between two
  await client.configSet("auto-aof-rewrite-percentage", "0");
  const { appendonly, appendfsync } = await client.configGet(["appendonly", "appendfsync"]);
  const version = /redis_version:(\S+)/.exec(await client.info("server"))?.[1];
  return {
    facts: {
      server: `redis-server ${version}`,
      client: packageVersion("redis"),
      durability: `one server, appendonly ${appendonly}, appendfsync ${appendfsync}: acknowledged before it is synced; the file is rewritten between rounds only`,
    },
    reset: async () => {
      await client.flushAll("SYNC");
      await client.bgRewriteAof();
      while (await rewriting()) await wait(10);
    },
    close: () => client.close(),
  };
}

async function servePostgres(url: string): Promise<Served> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const show = async (name: string): Promise<string> =>
    (await client.query<Record<string, string>>(`SHOW ${name}`)).rows[0]?.[name] ?? "";
  return {
    facts: {
      server: `PostgreSQL ${await show("server_version")}`,
      client: packageVersion("pg"),
      durability: `one server, fsync ${await show("fsync")}, synchronous_commit ${await show("synchronous_commit")}: acknowledged when synced`,
    },
    reset: async () => {
      await client.query("DROP SCHEMA public CASCADE");
      await client.query("CREATE SCHEMA public");
      await client.query("CHECKPOINT");
    },
    close: () => client.end(),
  };
}

async function serveRabbitMq(url: string): Promise<Served> {
  const client = await amqp.connect(url);
  const version = String(client.connection.serverProperties.version);
  return {
    facts: {
      server: `RabbitMQ ${version}`,
      client: packageVersion("amqplib"),
      durability: "one server, quorum queues: confirmed when written, and synced by the server's own batches",
    },
    reset: async () => undefined, // what is stored can't be listed: each round deletes its own
    close: () => client.close(),
  };
}

async function serveKafka(url: string, version: string): Promise<Served> {
  const admin = new Admin({ clientId: "bench", bootstrapBrokers: [new URL(url.replace(/^kafka:/, "http:")).host] });
  return {
    facts: {
      server: `Kafka ${version}`,
      client: packageVersion("@platformatic/kafka"),
      durability: "one broker, acks of all: acknowledged when written, not when synced",
    },
    reset: async () => {
      const topics = (await admin.listTopics()).filter((name) => !name.startsWith("__"));
      if (topics.length > 0) await admin.deleteTopics({ topics });
    },
    close: () => admin.close(),
  };
}

const serve: Partial<Record<BenchDriver, (url: string, version: string) => Promise<Served>>> = {
  nats: serveNats,
  redis: serveRedis,
  postgres: servePostgres,
  rabbitmq: serveRabbitMq,
  kafka: serveKafka,
};

/** Undefined: the driver needs none. Rejects with BrokerUnavailable when it can't be had. */
export async function benchBroker(driver: BenchDriver): Promise<BenchBroker | undefined> {
  const served = serve[driver];
  if (served === undefined) return undefined;
  const broker: Broker = await startBroker(driver as BrokerName, {
    own: true,
    say: (line) => console.error(line),
  });
  try {
    const { facts, reset, close } = await served(broker.url, broker.version ?? "");
    return {
      url: broker.url,
      facts,
      reset,
      [Symbol.asyncDispose]: async () => {
        await close().catch(() => undefined);
        await broker[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await broker[Symbol.asyncDispose]();
    throw error;
  }
}
