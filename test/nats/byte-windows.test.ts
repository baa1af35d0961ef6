import { describe, expect, it } from "vitest";
import { consume, groupSpec, publish, until, type TestConsumption } from "../support/driver-harness.ts";
import { NatsWorld, natsServers } from "../support/nats-world.ts";

const count = 20;
const window = { messages: 1_000, bytes: 3_000_000 };

/** Settles everything but the first message, until so many have come. */
async function allBesides({ sink, consumption }: TestConsumption): Promise<void> {
  await until(() => sink.messages.length >= 8, "a full window");
  const idle = performance.now() + 300;
  await until(() => performance.now() > idle, "its request to end");
  let at = 1;
  await until(
    () => {
      consumption.ack(sink.messages.slice(at));
      at = Math.max(sink.messages.length, 1);
      return sink.messages.length === count;
    },
    () => `${count} beside the one that is held, not ${sink.messages.length}`,
  );
  expect(new Set(sink.messages.map(({ position }) => position)).size).toBe(count);
}

describe.each(await natsServers())("a window of bytes on $name", (server) => {
  describe.skipIf(server.broker === undefined)("that was used up once", () => {
    it.each(["group", "tail"] as const)("is filled again while one handler still runs (%s)", async (kind) => {
      const connection = await new NatsWorld(server).connect();
      await connection.ensureGroup(groupSpec("g"));
      const body = "x".repeat(300_000);
      const sent = Array.from({ length: count }, () => publish(connection, [body])).flat();
      await until(() => sent.every(({ outcome }) => outcome === "stored"), "all to be stored");
      await allBesides(
        kind === "group"
          ? await consume(connection, { kind, group: "g", resume: undefined }, window)
          : await consume(connection, { kind, stream: "events", from: { at: "oldest" }, resume: undefined }, window),
      );
    });
  });
});
