import { connect } from "@nats-io/transport-node";
import { onTestFinished } from "vitest";
import type { Broker } from "../../scripts/brokers/broker.ts";
import type { DriverConnection, StreamOptions } from "../../src/driver.ts";
import { nats, type NatsOptions } from "../../src/drivers/nats/index.ts";
import { connectTo } from "./driver-harness.ts";
import { testBroker } from "./test-broker.ts";

export interface NatsServer {
  readonly name: string;
  readonly broker: Broker | undefined;
}

/** The newest server and the oldest that the driver takes, for `describe.each`. */
export async function natsServers(): Promise<readonly NatsServer[]> {
  return [
    { name: "nats", broker: await testBroker("nats") },
    { name: "nats@2.10", broker: await testBroker("nats", { release: "2.10" }) },
  ];
}

let worlds = 0;

/** A prefix of its own at a server; what was connected is closed after the test. */
export class NatsWorld {
  readonly url: string;
  readonly prefix: string;
  readonly #open: DriverConnection[] = [];

  constructor({ broker }: NatsServer) {
    worlds += 1;
    this.url = broker!.url;
    this.prefix = `w${process.pid}-${Date.now()}-${worlds}`;
    onTestFinished(() => this.close());
  }

  /** Streams that are missing are made: by default `events`, of everything, with one partition. */
  async connect(
    options: NatsOptions & { readonly member?: string; readonly streams?: readonly StreamOptions[] } = {},
  ): Promise<DriverConnection> {
    const { member, streams = [{ name: "events", topics: [">"], partitions: 1 }], ...rest } = options;
    const driver = nats({ servers: this.url, ...rest });
    const { connection } = await connectTo(driver, {
      prefix: this.prefix,
      ...(member === undefined ? {} : { member }),
    });
    this.#open.push(connection);
    for (const stream of streams) await connection.ensureStream(stream);
    return connection;
  }

  /** Its streams go too: each reserves what it may hold. */
  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((connection) => connection.close(AbortSignal.timeout(2_000))));
    const client = await connect({ servers: this.url });
    const { streams } = (await client.request("$JS.API.STREAM.NAMES", undefined, { timeout: 10_000 })).json<{
      readonly streams: string[] | null;
    }>();
    for (const name of streams ?? [])
      if (name.startsWith(`${this.prefix}=`) || name === `KV_${this.prefix}`)
        await client.request(`$JS.API.STREAM.DELETE.${name}`, undefined, { timeout: 10_000 });
    await client.close();
  }
}
