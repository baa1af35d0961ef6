/** A process that is connected, and moves what is due. */
import type { Driver } from "../../src/driver.ts";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type BusOptions, connect } from "../../src/index.ts";
import { runChild } from "../../src/testing/child-side.ts";
import { tapped } from "../support/tapped-driver.ts";

/** What is taken from a store is on its way for so long: whoever is killed has some in hand. */
const slowMs = 200;

export interface MoverInput {
  readonly driver: "kafka" | "rabbitmq";
  readonly url: string;
  readonly prefix: string;
  /** The store that is attached. */
  readonly state: string | undefined;
}

export function moverConfig({ driver, url, prefix, state }: MoverInput): BusOptions & { readonly driver: Driver } {
  return {
    driver: driver === "kafka" ? kafka({ brokers: url, sessionTimeoutMs: 6_000, heartbeatMs: 300 }) : rabbitmq({ url }),
    prefix,
    streams: [{ name: "events", topics: [">"], partitions: 4 }],
    ...(state === undefined ? {} : { state }),
  };
}

if (import.meta.main)
  await runChild<MoverInput>(async ({ input, note, ended }) => {
    const { driver, ...config } = moverConfig(input);
    const slow = tapped(
      {
        connection: (inner) => ({
          send: (messages) => void setTimeout(() => inner.send(messages), slowMs),
        }),
      },
      driver,
    );
    const bus = await connect({ ...config, driver: slow });
    note({ op: "ready" });
    await ended;
    await bus.close();
  });
