import { createClient } from "redis";
import { afterAll, afterEach } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { DriverConnection, OutMessage } from "../../src/driver.ts";
import { redis, type RedisOptions } from "../../src/drivers/redis/index.ts";
import { connectTo, publish, type TestConsumption, until } from "./driver-harness.ts";

/** Nothing is found by chance: neither polls nor beats come by themselves, unless a test asks for them. */
export const minute = 60_000;
const patient: RedisOptions = { leaseMs: minute, pollMs: minute, socketTimeoutMs: 500 };

/** A server, buses' ends of it without a bus, and what stands in its keys; all of it is closed with the test and the file. */
export class RedisGroups {
  readonly #broker: Broker;
  readonly #client: ReturnType<typeof createClient>;
  readonly #closing: (() => Promise<unknown>)[] = [];

  /** At the top of a file. */
  static async open(broker: Broker | undefined): Promise<RedisGroups | undefined> {
    if (broker === undefined) return undefined;
    const client = createClient({ url: broker.url, RESP: 2 });
    client.on("error", () => undefined);
    await client.connect();
    const groups = new RedisGroups(broker, client as unknown as ReturnType<typeof createClient>);
    afterAll(() => client.destroy());
    afterEach(async () => {
      for (const close of groups.#closing.splice(0)) await close();
    });
    return groups;
  }

  private constructor(broker: Broker, client: ReturnType<typeof createClient>) {
    this.#broker = broker;
    this.#client = client;
  }

  get url(): string {
    return this.#broker.url;
  }

  /** With a stream of two partitions. */
  async connection(prefix: string, options: RedisOptions = {}): Promise<DriverConnection> {
    const { connection } = await connectTo(redis({ url: this.url, ...patient, ...options }), { prefix });
    this.#closing.push(() => connection.close(AbortSignal.timeout(500)));
    await connection.ensureStream({ name: "events", topics: [">"], partitions: 2 });
    return connection;
  }

  command(...args: readonly string[]): Promise<unknown> {
    return this.#client.sendCommand([...args]);
  }

  async seats(prefix: string): Promise<readonly string[]> {
    return (await this.command("HKEYS", key(prefix, "g:g:m"))) as readonly string[];
  }

  /** Everybody who looks finds that this seat's lease has ended. */
  async endLease(prefix: string, seat: string): Promise<void> {
    await this.command("ZADD", key(prefix, "g:g:beat"), "1", seat);
  }
}

export const key = (prefix: string, rest: string): string => `{${prefix}}:${rest}`;

export async function stored(
  on: DriverConnection,
  texts: readonly string[],
  options: Partial<OutMessage> = {},
): Promise<void> {
  const sent = publish(on, texts, options);
  await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
}

export const has = ({ sink }: TestConsumption, count: number, what = "messages"): Promise<void> =>
  until(
    () => sink.messages.length >= count,
    () => `${count} ${what}; there are ${sink.messages.length}`,
  );

/** Waiting and in flight. */
export async function countsOf(on: DriverConnection): Promise<readonly number[]> {
  const { waiting, inFlight } = (await on.admin.groups()).find(({ spec }) => spec.group === "g")!;
  return [waiting, inFlight];
}
