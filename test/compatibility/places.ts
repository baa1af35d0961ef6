import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { testBroker } from "../support/test-broker.ts";

/** Where a bus may be. Two that are opened at one place meet. */
export interface Place {
  readonly name: string;
  /** Undefined: its broker can't be had here. */
  readonly url: string | undefined;
}

/** One on each driver, for the tests of a file. */
export async function places(): Promise<readonly Place[]> {
  const folder = await mkdtemp(join(tmpdir(), "omnibus-compatibility-"));
  afterAll(() => rm(folder, { recursive: true }));
  const brokers = [];
  for (const name of ["postgres", "nats", "redis", "rabbitmq", "kafka"] as const)
    brokers.push({ name, url: (await testBroker(name))?.url });
  return [
    { name: "memory", url: `memory:compatibility-${process.pid}` },
    { name: "sqlite", url: `sqlite:${join(folder, "bus.db")}` },
    ...brokers,
  ];
}
