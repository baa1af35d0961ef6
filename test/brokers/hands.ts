import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { BrokerName } from "../../scripts/brokers/broker-name.ts";
import { serversOf } from "../../scripts/brokers/kafka-cluster.ts";
import { KafkaWire } from "../../scripts/brokers/kafka-wire.ts";
import { folderOf, listInstances } from "../../scripts/brokers/instances.ts";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { until } from "../../src/testing/until.ts";
import { AmqpWire } from "../support/amqp-wire.ts";
import { makeTopic, topicExists } from "../support/kafka-asks.ts";
import { LineSocket } from "../support/line-socket.ts";
import { NatsLines } from "../support/nats-lines.ts";

/** What a test does to a broker and its data, by hand. */
export interface Hands {
  readonly store: (port: number) => Promise<void>;
  /** 1: what was stored is there. */
  readonly stored: (port: number) => Promise<number>;
  /** Resolves when it takes a connection and answers. */
  readonly ask: (port: number, tls?: ConnectionOptions) => Promise<void>;
  /** Of a test that starts it several times; it may have to share two cores. */
  readonly timeout: number;
}

function told(answer: string, wanted: string): void {
  if (!answer.includes(wanted)) throw new Error(`${answer}, and not ${wanted}`);
}

async function during<T extends Disposable, R>(
  resource: T | Promise<T>,
  work: (resource: T) => Promise<R>,
): Promise<R> {
  const there = await resource;
  try {
    return await work(there);
  } finally {
    there[Symbol.dispose]();
  }
}

export const hands: Record<BrokerName, Hands> = {
  nats: {
    store: (port) =>
      during(NatsLines.connect(port), async (nats) => {
        const stream = { name: "kept", subjects: ["kept.>"], storage: "file" };
        told(await nats.request("$JS.API.STREAM.CREATE.kept", JSON.stringify(stream)), '"did_create":true');
        told(await nats.request("kept.one", "a message"), '"seq":1');
      }),
    stored: (port) =>
      during(NatsLines.connect(port), async (nats) => {
        const info = JSON.parse(await nats.request("$JS.API.STREAM.INFO.kept", "")) as { state?: { messages: number } };
        return info.state?.messages ?? 0;
      }),
    ask: (port, tls) =>
      during(
        NatsLines.connect(port, () => (tls === undefined ? {} : { tls_required: true }), tls),
        async (nats) => {
          await nats.ping();
        },
      ),
    timeout: 20_000,
  },
  redis: {
    store: async (port) => told(await redisCommand(port, "SET", "kept", "1"), "OK"),
    stored: async (port) => Number((await redisCommand(port, "GET", "kept")).split("\r\n")[1] ?? 0),
    ask: (port, tls) =>
      during(tls === undefined ? LineSocket.plain(port) : LineSocket.secure(port, tls), async (socket) => {
        socket.send("PING");
        told(await socket.next(), "PONG");
      }),
    timeout: 20_000,
  },
  postgres: {
    store: async (port) => void (await postgresCommand(port, "create table kept as select 1 as x")),
    stored: async (port) => {
      const there = "select count(*) from pg_tables where tablename = 'kept'";
      if ((await postgresCommand(port, there))[0]?.[0] === "0") return 0;
      return Number((await postgresCommand(port, "select count(*) from kept"))[0]?.[0]);
    },
    ask: async (port, tls) => void (await postgresCommand(port, "select 1", tls === undefined ? {} : { tls })),
    timeout: 180_000,
  },
  rabbitmq: {
    store: (port) =>
      during(AmqpWire.connect(port), async (wire) => {
        // what stands before another one is there whole
        for (const queue of [keptQueue, nextQueue]) {
          await wire.declare(queue);
          await until(() => isWritten(port, queue), "the queue to be in a file");
        }
      }),
    stored: (port) =>
      during(AmqpWire.connect(port), async (wire) => {
        return await wire.declare(keptQueue, true).then(
          () => 1,
          (error: unknown) => (String(error).includes("404 NOT_FOUND") ? 0 : Promise.reject(error)),
        );
      }),
    ask: (port, tls) => during(AmqpWire.connect(port, tls === undefined ? {} : { tls }), async () => undefined),
    timeout: 180_000,
  },
  kafka: {
    store: (port) =>
      during(KafkaWire.plain(port), async (kafka) => {
        told(String(await makeTopic(kafka, "kept")), "0");
      }),
    stored: (port) =>
      during(KafkaWire.plain(port), async (kafka) => {
        return (await makeTopic(kafka, "kept", 1, true)) === topicExists ? 1 : 0;
      }),
    ask: (port, tls) =>
      during(tls === undefined ? KafkaWire.plain(port) : KafkaWire.secure(port, tls), async (kafka) => {
        await serversOf(kafka);
      }),
    timeout: 180_000,
  },
};

/** As no other file of a server has it. */
const keptQueue = "omnibus-kept-queue";
const nextQueue = "omnibus-next-queue";

/** RabbitMQ 3.10 says that a queue is there before it has written so: killed then, it comes back without it. */
function isWritten(port: number, text: string): boolean {
  const { id } = listInstances().find(({ ports }) => ports[0]?.includes(port))!;
  const folder = folderOf(id);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return files.some((each) => {
    try {
      return readFileSync(join(each.parentPath, each.name)).includes(text);
    } catch {
      return false; // it went meanwhile
    }
  });
}

export const portOf = ({ servers: [server] }: Broker): number => server?.port ?? 0;

/** Nobody listens there any more. */
export const isGone = (name: BrokerName, port: number): Promise<boolean> =>
  hands[name].ask(port).then(
    () => false,
    (error: unknown) => String(error).includes("ECONNREFUSED"),
  );
