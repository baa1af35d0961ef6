import { describe, expect, it } from "vitest";
import type { Address } from "../../src/driver.ts";
import { until } from "../../src/testing/until.ts";
import { postgresCommand } from "../../scripts/brokers/postgres-command.ts";
import {
  consume,
  groupSpec,
  joinGroup,
  outgoing,
  publish,
  type Sent,
  toQueue,
  toTopic,
} from "../support/driver-harness.ts";
import { connectPostgres, freshSchema } from "../support/postgres-world.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("postgres");

describe.skipIf(broker === undefined)("what is published for later", () => {
  it("comes in time, however much is due before it for a stream that is full", async () => {
    const { url, servers } = broker!;
    const schema = await freshSchema(servers[0]!.port);
    const { connection } = await connectPostgres({ url, schema });
    await connection.ensureStream({
      name: "full",
      topics: ["full"],
      partitions: 1,
      maxMessages: 3,
      whenFull: "reject",
    });
    await connection.ensureStream({ name: "other", topics: ["other"], partitions: 1 });
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "other",
      from: { at: "oldest" },
      resume: undefined,
    });
    await consumption.wants([">"], []);
    const send = async (sent: readonly Sent[]): Promise<void> => {
      connection.send(sent.map(({ message }) => message));
      await until(() => sent.every(({ outcome }) => outcome !== "waiting"), "the outcomes");
      expect(new Set(sent.map(({ outcome }) => outcome))).toEqual(new Set(["stored"]));
    };
    const due = Date.now() + 3_000;
    const blocked = Array.from({ length: 600 }, (_, n) =>
      outgoing(toTopic("full", "full"), `late ${n}`, { notBefore: due }),
    );
    await send(blocked);
    await send(["1", "2", "3"].map((text) => outgoing(toTopic("full", "full"), text)));
    await send([outgoing(toTopic("other", "other"), "here", { notBefore: due + 10 })]);
    await until(() => sink.texts.length === 1, "the event behind them");
    expect(await connection.admin.scheduled!(undefined, 1_000)).toHaveLength(600);
  });

  it.each(["none", "group"] as const)(
    "comes behind what a group has come to, where the log was emptied by hand (order: %s)",
    async (order) => {
      const { url, servers } = broker!;
      const schema = await freshSchema(servers[0]!.port);
      const { connection } = await connectPostgres({ url, schema });
      await connection.ensureStream({ name: "events", topics: [">"], partitions: 1 });
      await connection.ensureGroup(groupSpec("g", { order }));
      const { sink, consumption } = await joinGroup(connection, "g");
      publish(connection, ["1", "2", "3"]);
      await until(() => sink.messages.length === 3, "all to be delivered");
      consumption.ack(sink.messages);
      await consumption.flush();
      await postgresCommand(servers[0]!.port, `TRUNCATE ${schema}.omnibus_log`);
      const late = outgoing(toTopic("a"), "late", { notBefore: Date.now() + 200 });
      connection.send([late.message]);
      await until(() => sink.texts.at(-1) === "late", "what was for later");
      publish(connection, ["next"]);
      await until(() => sink.texts.at(-1) === "next", "what came after it");
      expect(await postgresCommand(servers[0]!.port, `SELECT seq FROM ${schema}.omnibus_log ORDER BY seq`)).toEqual([
        ["4"],
        ["5"],
      ]);
    },
  );

  it("stays away when it was cancelled, whenever its publish is tried again, until its id is forgotten", async () => {
    const { url, servers } = broker!;
    const schema = await freshSchema(servers[0]!.port);
    const { connection } = await connectPostgres({ url, schema });
    await connection.ensureStream({ name: "events", topics: [">"] });
    await connection.ensureGroup(groupSpec("g"));
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from: { at: "oldest" },
      resume: undefined,
    });
    await consumption.wants([">"], []);
    const { admin } = connection;
    const publish = async (to: Address, id: string, notBefore: number): Promise<string> => {
      const sent = outgoing(to, id, { id, notBefore });
      connection.send([sent.message]);
      await until(() => sent.outcome !== "waiting", "the outcome");
      return sent.outcome;
    };
    const [past, future] = [Date.now() - 1_000, Date.now() + 3_600_000];
    for (const to of [toTopic("a"), toQueue("g")]) {
      expect(await publish(to, "gone", future)).toBe("stored");
      expect(await admin.cancelScheduled!(["gone"])).toEqual(["gone"]);
      expect(await admin.cancelScheduled!(["gone"])).toEqual([]);
      expect(await publish(to, "gone", future)).toBe("duplicate");
      expect(await publish(to, "gone", past)).toBe("duplicate"); // its time has come since its first try
    }
    expect(await publish(toTopic("a"), "late", past)).toBe("stored");
    await until(() => sink.texts.includes("late"), "the one that was not cancelled");
    expect(sink.texts).toEqual(["late"]);
    expect(await admin.scheduled!(undefined, 10)).toEqual([]);
    const states = await admin.groups();
    expect(states.map(({ scheduled, waiting }) => [scheduled, waiting])).toEqual([[0, 1]]);

    const rows = async (): Promise<unknown> =>
      (await postgresCommand(servers[0]!.port, `SELECT count(*) FROM ${schema}.omnibus_delayed`))[0]?.[0];
    expect(await rows()).toBe("2");
    const soon = await connectPostgres({ url, schema, dedupeWindowMs: 1 });
    const again = outgoing(toTopic("a"), "gone", { id: "gone", notBefore: future });
    soon.connection.send([again.message]);
    await until(() => again.outcome !== "waiting", "the outcome");
    expect(again.outcome).toBe("stored");
    await until(async () => (await rows()) === "1", "the other to be forgotten", 20_000);
    expect(await admin.scheduled!(undefined, 10)).toMatchObject([{ id: "gone" }]);
  });
});
