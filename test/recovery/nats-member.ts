/** The NATS driver in the recovery suite, and a member of it in a process of its own. */
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";
import { NatsLines } from "../support/nats-lines.ts";

const leaseMs = 2_000;
// a silent line is lost after two missed answers
const pingMs = 1_000;
const config: RecoveryUnderTest["config"] = (url) => ({
  driver: nats({ servers: url, leaseMs, heartbeatMs: 500, pingMs, requestTimeoutMs: 1_000 }),
});

async function ask(url: string, subject: string, body = ""): Promise<Record<string, unknown>> {
  const lines = await NatsLines.connect(Number(new URL(url).port));
  try {
    return JSON.parse(await lines.request(`$JS.API.${subject}`, body)) as Record<string, unknown>;
  } finally {
    lines[Symbol.dispose]();
  }
}

export const natsUnderTest = (name: "nats" | "nats@2.10"): RecoveryUnderTest => ({
  name,
  capabilities: nats().capabilities,
  broker: {
    create: () => startBroker("nats", { own: true, ...(name === "nats" ? {} : { release: "2.10" as const }) }),
  },
  config,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * pingMs,
  // docs/nats-design.md: a server that is killed forgets the acknowledgements of 0.1 s, and what it has not read: more on a busy machine
  repeatsMs: 1_000,
  // nats consumer rm
  async deleteGroupNatively({ url, prefix, group }) {
    for (const stream of [`${prefix}=s=events`, `${prefix}=q`]) {
      const { consumers = [] } = (await ask(url, `CONSUMER.NAMES.${stream}`)) as {
        consumers?: readonly string[] | null;
      };
      for (const consumer of consumers ?? [])
        if (consumer.startsWith(`${group}=`)) await ask(url, `CONSUMER.DELETE.${stream}.${consumer}`);
    }
  },
  // nats stream rm
  async deleteStreamNatively({ url, prefix, stream }) {
    await ask(url, `STREAM.DELETE.${prefix}=s=${stream}`);
  },
});

if (import.meta.main) await runRecoveryMember(config);
