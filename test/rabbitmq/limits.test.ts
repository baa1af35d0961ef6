import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { rabbitmq } from "../../src/drivers/rabbitmq/index.ts";
import { type Bus, connect } from "../../src/index.ts";
import { until } from "../../src/testing/index.ts";
import { connectTo, groupSpec, joinGroup, outgoing, toTopic } from "../support/driver-harness.ts";
import { Tick } from "../support/events.ts";
import { isLocal, rabbitCommand } from "../support/rabbitmq-command.ts";
import { freshPrefix } from "../support/rabbitmq-session.ts";
import { testBroker } from "../support/test-broker.ts";

const broker = await testBroker("rabbitmq", { own: true });
const open: Bus[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close({ timeoutMs: 1_000 })));
});

describe.skipIf(broker === undefined)("limits of a RabbitMQ", () => {
  it("a message over the broker's limit is refused before it is sent, and others go on", async () => {
    const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
    await connection.ensureStream({ name: "events", topics: [">"], maxBytes: 1_000_000_000 });
    const large = outgoing(toTopic("a"), "", { body: new Uint8Array(connection.capabilities.maxMessageBytes! + 1) });
    const small = outgoing(toTopic("a"), "small");
    connection.send([large.message, small.message]);
    await until(
      () => small.outcome === "stored" && large.outcome !== "waiting",
      () => `both to be settled: ${small.outcome}, ${large.outcome}, ${String(small.error)}`,
    );
    expect(large).toMatchObject({ outcome: "no", error: { code: "BUS_TOO_LARGE" } });
    await connection.close(AbortSignal.timeout(1_000));
  });

  it.skipIf(!isLocal(broker))(
    "an operator's lower limit is learned from the first message that it refuses, and what was sent beside it is not lost",
    { timeout: 60_000 },
    async () => {
      const limit = (bytes: number): Promise<unknown> =>
        rabbitCommand(broker!, "eval", `application:set_env(rabbit, max_message_size, ${bytes}).`);
      await limit(100_000);
      try {
        const { connection } = await connectTo(rabbitmq({ url: broker!.url }), { prefix: freshPrefix() });
        await connection.ensureStream({ name: "events", topics: [">"] });
        const [first, large, behind] = [
          outgoing(toTopic("a"), "first"),
          outgoing(toTopic("a"), "", { body: new Uint8Array(100_001) }),
          outgoing(toTopic("a"), "behind"),
        ];
        connection.send([first.message, large.message, behind.message]);
        const all = [first, large, behind];
        await until(() => all.every(({ outcome }) => outcome !== "waiting"), "all to be settled");
        expect(large).toMatchObject({ outcome: "no", error: { code: "BUS_TOO_LARGE" } });
        expect(["stored", "unknown"]).toContain(first.outcome);
        expect(behind, "to be sent again").toMatchObject({ outcome: "no", error: { retryable: true } });
        expect(connection.capabilities.maxMessageBytes).toBe(100_000);
        const outcomeOf = async (body: Uint8Array): Promise<string> => {
          const sent = outgoing(toTopic("a"), "", { body });
          connection.send([sent.message]);
          await until(() => sent.outcome !== "waiting", "an outcome");
          return sent.outcome === "stored" ? "stored" : String((sent.error as { readonly code?: string }).code);
        };
        const small = new Uint8Array(100_000);
        await until(async () => (await outcomeOf(small)) === "stored", "a channel again");
        expect(await outcomeOf(new Uint8Array(100_001))).toBe("BUS_TOO_LARGE");
        expect(await outcomeOf(small), "the channel is the same").toBe("stored");
        await connection.close(AbortSignal.timeout(1_000));
      } finally {
        await limit(134_217_728);
      }
    },
  );

  it.skipIf(!isLocal(broker)).each([
    ["memory", ["set_vm_memory_high_watermark", "absolute", "1"], ["set_vm_memory_high_watermark", "0.6"]],
    ["disk", ["set_disk_free_limit", "1000000000000000000"], ["set_disk_free_limit", "50000000"]],
  ] as const)(
    "an alarm of the server's %s holds publishes back, is said, and passes",
    { timeout: 60_000 },
    async (_of, begin, end) => {
      const prefix = freshPrefix();
      const join = (confirmTimeoutMs: number): Promise<Bus> =>
        connect({
          driver: rabbitmq({ url: broker!.url, confirmTimeoutMs }),
          prefix,
          publishing: { attemptTimeoutMs: 30_000, retry: { maxAttempts: 1 } },
        });
      const [bus, patient] = [await join(1_000), await join(30_000)];
      open.push(bus, patient);
      const said: string[] = [];
      bus.onStatus(({ type }) => void said.push(type));
      const handled: number[] = [];
      await bus.subscribe(Tick, ({ data }) => void handled.push(data.n), { group: "g" });
      await bus.publish(Tick, { n: 1 });
      onTestFinished(() => rabbitCommand(broker!, ...end).then(() => undefined)); // also when it fails
      await rabbitCommand(broker!, ...begin);
      const held = bus.publish(Tick, { n: 2 }).catch((error: unknown) => error); // the server says so to who publishes
      await until(() => said.includes("blocked"), "the alarm to be said");
      expect((await bus.health()).status).not.toBe("up");
      await expect(bus.publish(Tick, { n: 3 })).rejects.toMatchObject({ code: "BUS_FULL", outcome: "rejected" });
      // a beat of this process may have been told before it
      expect(["unknown", "rejected"]).toContain(((await held) as { readonly outcome?: unknown }).outcome);
      const waits = [patient.publish(Tick, { n: 4 })];
      await until(async () => (await patient.health()).status !== "up", "it to be told as well");
      waits.push(patient.publish(Tick, { n: 5 })); // never written before the end
      await rabbitCommand(broker!, ...end);
      await Promise.all(waits);
      await until(() => said.includes("unblocked"), "its end to be said");
      await until(() => handled.includes(4) && handled.includes(5), "what waited");
      expect(handled).not.toContain(3);
    },
  );

  it.skipIf(!isLocal(broker))(
    "what comes due while the server takes nothing, and definitions can't be asked for, is published afterwards",
    { timeout: 60_000 },
    async () => {
      const { connection } = await connectTo(rabbitmq({ url: broker!.url, confirmTimeoutMs: 1_000 }), {
        prefix: freshPrefix(),
      });
      await connection.ensureStream({ name: "events", topics: [">"] });
      await connection.ensureGroup(groupSpec("g"));
      const { sink } = await joinGroup(connection, "g");
      const sent = Array.from({ length: 10 }, (_, n) =>
        outgoing(toTopic("a"), `later ${n}`, { notBefore: Date.now() + 4_000 + 150 * n }),
      );
      connection.send(sent.map(({ message }) => message));
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      await rabbitCommand(broker!, "set_vm_memory_high_watermark", "absolute", "1");
      let [asked, answered] = [0, 0];
      for (const end = performance.now() + 6_000; performance.now() < end; asked += 1) {
        // none of these is answered once the server takes nothing; it says so a moment later
        connection.admin.positions("events").then(
          () => (answered += 1),
          () => undefined,
        );
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      expect(answered).toBeLessThan(asked);
      await rabbitCommand(broker!, "set_vm_memory_high_watermark", "0.6");
      await until(
        () => new Set(sink.texts).size === sent.length,
        () => `all that was due; ${sink.texts.join()} came`,
      );
      await connection.close(AbortSignal.timeout(1_000));
    },
  );
});
