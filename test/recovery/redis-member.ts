/** The Redis driver in the recovery suite, and a member of it in a process of its own. */
import type { Broker } from "../../scripts/brokers/broker.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { startBroker } from "../../scripts/brokers/start-broker.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { type RecoveryBroker, type RecoveryUnderTest, runRecoveryMember } from "../../src/testing/index.ts";

const leaseMs = 2_000;
// a silent line is lost after an answer that does not come
const socketTimeoutMs = 1_000;
const config: RecoveryUnderTest["config"] = (url) => ({
  driver: redis({ url, leaseMs, socketTimeoutMs, pollMs: 500 }),
});

/** By default Redis acknowledges up to two seconds before it writes while the disk is slow, which a kill then takes away. */
async function synced(broker: Broker): Promise<RecoveryBroker> {
  const sync = async (): Promise<void> => {
    for (const { port } of broker.servers) await redisCommand(port, "CONFIG", "SET", "appendfsync", "always");
  };
  await sync();
  const after = (step: () => Promise<void>) => async (): Promise<void> => {
    await step();
    await sync();
  };
  return {
    url: broker.url,
    start: after(() => broker.start()),
    restart: after(() => broker.restart()),
    kill: () => broker.kill(),
    pause: () => broker.pause(),
    resume: () => broker.resume(),
    [Symbol.asyncDispose]: () => broker[Symbol.asyncDispose](),
  };
}

/** Redis's command for each key of the partitions of a stream. */
async function eachPartition(
  url: string,
  prefix: string,
  stream: string,
  command: string,
  ...rest: readonly string[]
): Promise<void> {
  const script = `for _, key in ipairs(redis.call('KEYS', ARGV[1])) do ${command} end return 0`;
  const pattern = `{${prefix}}:s:${stream}:[0-9]*`;
  await redisCommand(Number(new URL(url).port), "EVAL", script, "0", pattern, ...rest);
}

export const redisUnderTest: RecoveryUnderTest = {
  name: "redis",
  capabilities: redis().capabilities,
  broker: { create: async () => synced(await startBroker("redis", { own: true })) },
  config,
  member: new URL(import.meta.url),
  leaseMs,
  silenceMs: 3 * socketTimeoutMs,
  // it syncs each write here: an acknowledgement is under way for as long as a busy disk takes for those before it
  repeatsMs: 500,
  // redis-cli xgroup destroy
  deleteGroupNatively: ({ url, prefix, group }) =>
    eachPartition(url, prefix, "*", "redis.pcall('XGROUP', 'DESTROY', key, ARGV[2])", group),
  // redis-cli del
  deleteStreamNatively: ({ url, prefix, stream }) => eachPartition(url, prefix, stream, "redis.call('DEL', key)"),
};

if (import.meta.main) await runRecoveryMember(config);
