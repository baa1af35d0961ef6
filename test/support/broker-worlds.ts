import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { onTestFinished } from "vitest";
import type { BrokerName } from "../../scripts/brokers/broker-name.ts";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { Driver } from "../../src/driver.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { connect, type Bus, type BusOptions } from "../../src/index.ts";
import { within } from "../../src/testing/until.ts";
import { testBroker } from "./test-broker.ts";

export interface Foreign {
  readonly topic: string;
  readonly body: Uint8Array | string;
  readonly partition?: number;
  /** As its protocol has them, whatever they are: lines of NATS, the text of Redis's or RabbitMQ's field. */
  readonly headers?: string;
}

/** What one test needs of a broker, so that a row of a table runs on all. */
export interface BusWorld {
  readonly name: BrokerName;
  /** Undefined: it can't be had here. */
  readonly broker: Broker | undefined;
  driver(url?: string): Driver;
  /** What the broker has under this prefix: names of streams, keys, tables, queues, topics. */
  namesOf(prefix: string): Promise<readonly string[]>;
  /** Gives back what a server reserves for a prefix. */
  forget(prefix: string): Promise<void>;
}

/** And where others write, too. */
export interface ForeignWorld extends BusWorld {
  /** As its protocol writes them. */
  headers(pairs: readonly (readonly [string, string])[]): string;
  /** Writes into the stream `events` as a program that knows the broker's protocol alone. */
  write(prefix: string, messages: readonly Foreign[]): Promise<void>;
}

/** And where its wire is spoken by hand. */
export interface BrokerWorld extends ForeignWorld {
  readonly name: "nats" | "redis";
}

let made = 0;
export const freshName = (what: string): string => `${what}${process.pid}-${(made += 1)}`;

/** A bus for the rest of this test; `url` when it is to reach the broker otherwise. */
export async function openBus(world: BusWorld, options: BusOptions = {}, url?: string): Promise<Bus> {
  const { prefix = freshName("b") } = options;
  const once = { retry: { maxAttempts: 1 } };
  const bus = await connect({ driver: world.driver(url), publishing: once, ...options, prefix });
  onTestFinished(async () => {
    await bus.close({ timeoutMs: 2_000 });
    await world.forget(prefix);
  });
  return bus;
}

const bytes = (body: Uint8Array | string): Uint8Array => (typeof body === "string" ? Buffer.from(body) : body);
const portOf = (broker: Broker | undefined): number => Number(new URL(broker?.url ?? "").port);

/** Says all of it to a server and gives what that answers, up to when it says so. */
async function talk(port: number, words: Uint8Array, done: (answer: string) => boolean): Promise<string> {
  const socket = connectSocket({ port, host: "127.0.0.1" });
  let answer = "";
  try {
    socket.write(words);
    const ended = once(socket, "close").then(() => {
      throw new Error(`the server closed the connection: ${answer.slice(-200)}`);
    });
    const finished = new Promise<void>((resolve) => {
      socket.setEncoding("latin1").on("data", (text: string) => {
        answer += text;
        if (done(answer)) resolve();
      });
    });
    await within(Promise.race([finished, ended]), "the server's answer", 10_000);
    ended.catch(() => undefined);
    return answer;
  } finally {
    socket.destroy();
  }
}

/** Commands of Redis, with words of any bytes; rejects when one is refused. */
export async function redisRaw(port: number, commands: readonly (readonly (Uint8Array | string)[])[]): Promise<string> {
  const parts = commands.flatMap((words) => [
    Buffer.from(`*${words.length}\r\n`),
    ...words.flatMap((word) => {
      const text = bytes(word);
      return [Buffer.from(`$${text.byteLength}\r\n`), text, Buffer.from("\r\n")];
    }),
  ]);
  const end = Buffer.from("*2\r\n$4\r\nECHO\r\n$9\r\nthe end !\r\n");
  const answer = await talk(port, Buffer.concat([...parts, end]), (text) => text.endsWith("the end !\r\n"));
  if (/^-/m.test(answer)) throw new Error(answer);
  return answer;
}

/** Publishes of NATS, each acknowledged by JetStream. */
async function natsRaw(port: number, prefix: string, messages: readonly Foreign[]): Promise<void> {
  const head = `CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB _INBOX.raw.* 1\r\n`;
  const parts: Uint8Array[] = [Buffer.from(head)];
  for (const [at, { topic, body, partition = 0, headers }] of messages.entries()) {
    const subject = `${prefix}.s.events.${partition}.${topic}`;
    const payload = bytes(body);
    const start = Buffer.from(headers === undefined ? "" : `NATS/1.0\r\n${headers}\r\n\r\n`, "latin1");
    const sizes = headers === undefined ? "" : `${start.byteLength} `;
    const verb = headers === undefined ? "PUB" : "HPUB";
    const line = `${verb} ${subject} _INBOX.raw.${at} ${sizes}${start.byteLength + payload.byteLength}\r\n`;
    parts.push(Buffer.from(line), start, payload, Buffer.from("\r\n"));
  }
  const acks = (text: string): number => text.match(/"seq":\d+/g)?.length ?? 0;
  const answer = await talk(
    port,
    Buffer.concat(parts),
    (text) => acks(text) >= messages.length || /-ERR|"error"/.test(text),
  );
  if (acks(answer) < messages.length) throw new Error(answer.slice(-300));
}

/** Asks JetStream's API; the answer's JSON. */
async function natsAsk(port: number, subject: string): Promise<{ readonly streams?: readonly string[] | null }> {
  const words = `CONNECT {"verbose":false}\r\nSUB _INBOX.raw 1\r\nPUB $JS.API.${subject} _INBOX.raw 0\r\n\r\n`;
  const answer = await talk(port, Buffer.from(words), (text) => /\{"type":.*\}\r\n$/s.test(text));
  return JSON.parse(answer.slice(answer.lastIndexOf('{"type"'))) as { readonly streams?: readonly string[] | null };
}

export async function natsWorld(): Promise<BrokerWorld> {
  const broker = await testBroker("nats", { own: true });
  const namesOf = async (prefix: string): Promise<readonly string[]> => {
    const { streams } = await natsAsk(portOf(broker), "STREAM.NAMES");
    return (streams ?? []).filter((name) => name.includes(prefix));
  };
  return {
    name: "nats",
    broker,
    driver: (url = broker!.url) => nats({ servers: url }),
    headers: (pairs) => pairs.map(([name, value]) => `${name}: ${value}`).join("\r\n"),
    write: (prefix, messages) => natsRaw(portOf(broker), prefix, messages),
    namesOf,
    forget: async (prefix) => {
      for (const name of await namesOf(prefix))
        if (name.startsWith(`${prefix}=`) || name === `KV_${prefix}`)
          await natsAsk(portOf(broker), `STREAM.DELETE.${name}`);
    },
  };
}

export async function redisWorld(): Promise<BrokerWorld> {
  const broker = await testBroker("redis", { own: true });
  return {
    name: "redis",
    broker,
    driver: (url = broker!.url) => redis({ url }),
    headers: (pairs) => JSON.stringify(pairs),
    write: async (prefix, messages) => {
      const entry = ({ topic, body, partition = 0, headers = "" }: Foreign): readonly (Uint8Array | string)[] => {
        const fields = ["t", topic, "k", "", "h", headers, "b", body];
        return ["XADD", `{${prefix}}:s:events:${partition}`, "*", ...fields];
      };
      await redisRaw(portOf(broker), messages.map(entry));
    },
    namesOf: async (prefix) => {
      const answer = await redisRaw(portOf(broker), [["KEYS", "*"]]);
      return answer.split("\r\n").filter((line) => !/^[$*]/.test(line) && line.includes(prefix));
    },
    forget: async () => {}, // it reserves nothing
  };
}
