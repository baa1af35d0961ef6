import { setTimeout as sleep } from "node:timers/promises";
import { type BrokerName, brokerKinds, type ReleaseOf, type VariantOf, wantedBroker } from "./broker-name.ts";
import type { Broker } from "./broker.ts";
import { withClassArchive } from "./class-archive.ts";
import { ServerEnded } from "./controlled-server.ts";
import { findBroker, type Found, givenUrl, type Wanted } from "./find-broker.ts";
import { givenBroker } from "./given-broker.ts";
import { type Instance, newInstance } from "./instances.ts";
import { OwnBroker } from "./own-broker.ts";

export interface StartOptions<Name extends BrokerName> {
  /** @default "newest": the newest that can be had without choosing */
  readonly release?: ReleaseOf<Name> | undefined;
  /** @default "plain" */
  readonly variant?: VariantOf<Name> | undefined;
  /** True: one that can be killed, even where a url is given. @default false */
  readonly own?: boolean | undefined;
  /** Told what takes a while. @default nothing is said */
  readonly say?: ((line: string) => void) | undefined;
}

const portTries = 5;
const archiveMs = 120_000; // seconds, and many of them where there is much else to do

export async function startOwn(wanted: Wanted, say: (line: string) => void): Promise<OwnBroker> {
  const found = await findBroker(wanted, say);
  if (wanted.kind.onJava !== true) return startFrom(wanted, found);
  const [plain = ""] = wanted.kind.variants;
  const run = async (learning: Found): Promise<void> => {
    const broker = await startFrom({ ...wanted, variant: plain }, learning);
    try {
      for (const pid of broker.pids) process.kill(pid, "SIGTERM"); // and not `stop`, which loses patience
      const from = performance.now();
      while ((await broker.state()) === "running" && performance.now() - from < archiveMs) await sleep(20);
    } finally {
      await broker[Symbol.asyncDispose]();
    }
  };
  return startFrom(wanted, await withClassArchive(found, run, say));
}

/** Another process can take a port between our look and the server's. */
async function startFrom({ kind, release, variant, label }: Wanted, found: Found): Promise<OwnBroker> {
  for (let left = portTries - 1; ; left -= 1) {
    const record = { kind: kind.name, release, variant, label, found };
    const broker = new OwnBroker(kind, await newInstance(record, kind.ports(variant)));
    broker.endWithThisProcess();
    try {
      await broker.start();
      return broker;
    } catch (error) {
      await broker[Symbol.asyncDispose]();
      if (!(error instanceof ServerEnded && error.portTaken && left > 0)) throw error;
    }
  }
}

/** The broker of a record, whoever started it. */
export function adoptBroker(instance: Instance): OwnBroker {
  const kind = brokerKinds[instance.kind];
  if (kind === undefined) throw new TypeError(`there is no broker ${instance.kind}`);
  return new OwnBroker(kind, instance);
}

/**
 * A broker for this process alone, ready to be connected to; ended when it is disposed of, and with this process however that
 * ends. Looked for in the order of docs/brokers.md; rejects with BrokerUnavailable when it can't be had.
 */
export async function startBroker<Name extends BrokerName>(
  name: Name,
  options: StartOptions<Name> = {},
): Promise<Broker> {
  const { release, variant, own = false, say = () => {} } = options;
  const wanted = wantedBroker(name, release, variant);
  const given = own ? undefined : givenUrl(wanted);
  return given === undefined ? startOwn(wanted, say) : givenBroker(wanted.label, given.url, given.variable);
}
