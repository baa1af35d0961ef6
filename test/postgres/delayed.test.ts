import { describe, expect, it } from "vitest";
import { until } from "../../src/testing/until.ts";
import { consume, outgoing, type Sent, toTopic } from "../support/driver-harness.ts";
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
});
