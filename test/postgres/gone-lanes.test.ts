import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import type { DriverConnection } from "../../src/driver.ts";
import { groupSpec, joinGroup, outgoing, toQueue, toTopic } from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");

async function outcomeOf(
  connection: DriverConnection,
  to: ReturnType<typeof toTopic>,
  text: string,
  delayMs?: number,
): Promise<string> {
  const sent = outgoing(to, text, delayMs === undefined ? {} : { notBefore: Date.now() + delayMs });
  connection.send([sent.message]);
  await until(() => sent.outcome !== "waiting", "an outcome");
  return sent.outcome;
}

describe.skipIf(broker === undefined)("what is published for later", () => {
  it("comes to a group that was deleted and made again", async () => {
    const options = { url: broker!.url, schema: await freshSchema(broker!.servers[0]!.port) };
    const [{ connection }, other] = [await connectPostgres(options), await connectPostgres(options)];
    await connection.ensureStream({ name: "events", topics: [">"] });
    await connection.ensureGroup(groupSpec("g"));
    expect(await outcomeOf(connection, toQueue("g"), "before")).toBe("stored");
    await other.connection.admin.deleteGroup("g");
    await other.connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(other.connection, "g");
    expect(await outcomeOf(connection, toQueue("g"), "sent for later", 200)).toBe("stored");
    await until(() => sink.texts.includes("sent for later"), "it");
  });

  it("is refused where there is no such stream any more", async () => {
    const options = { url: broker!.url, schema: await freshSchema(broker!.servers[0]!.port) };
    const other = await connectPostgres(options);
    await other.connection.ensureStream({ name: "events", topics: [">"] });
    const { connection } = await connectPostgres(options, { manage: "off" });
    expect(await outcomeOf(connection, toTopic("a"), "now")).toBe("stored");
    await other.connection.admin.deleteStream("events");
    expect(await outcomeOf(connection, toTopic("a"), "later", 200)).toBe("no");
  });
});
