import { expect, it } from "vitest";
import { connect } from "../../src/index.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import { until } from "../../src/testing/index.ts";
import { redisCommand } from "../../scripts/brokers/redis-command.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("redis", { own: true });
const never = new Promise<string>(() => undefined);
const times = { connectTimeoutMs: 200, socketTimeoutMs: 200 };

it.skipIf(broker === undefined)("a password that is never answered is asked for again", async () => {
  let asked = 0;
  const password = (): string | Promise<string> => {
    asked += 1;
    return asked === 3 ? never : ""; // two connections, then the first of the reconnect
  };
  await using bus = await connect({ driver: redis({ url: broker!.url, password, ...times }) });
  const status: string[] = [];
  bus.onStatus(({ type }) => void status.push(type));
  await redisCommand(broker!.servers[0]!.port, "CLIENT", "KILL", "TYPE", "normal");
  await until(() => asked >= 3, "to be asked again");
  await until(
    () => status.at(-1) === "connected",
    () => `the bus to be connected again; it was asked ${asked} times, ${status.join(", ")}`,
  );
  expect(asked).toBeGreaterThanOrEqual(5);
});
