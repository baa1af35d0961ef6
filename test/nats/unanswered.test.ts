import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { publish, until, type Sent } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();

const waiting = (all: readonly Sent[]): number => all.filter(({ outcome }) => outcome === "waiting").length;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe.each(servers)("publishes that no server answers, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("on a healthy connection", () => {
    const requestTimeoutMs = 2_000;

    it(
      "those to a stream that is deleted under them are told, and soon: it is there again",
      { timeout: 60_000 },
      async () => {
        const world = new NatsWorld(server);
        const connection = await world.connect({ requestTimeoutMs: 20_000 });
        const client = await connectClient({ servers: world.url });
        onTestFinished(() => client.close());
        const all: Sent[] = [];
        // whether something is dropped at a deletion is chance
        for (
          let round = 0;
          round < 8 || (round < 60 && !all.some(({ outcome }) => outcome === "unknown"));
          round += 1
        ) {
          for (let batch = 0; batch < 20; batch += 1) {
            all.push(
              ...publish(
                connection,
                Array.from({ length: 100 }, () => "x".repeat(200)),
              ),
            );
            await turn();
            if (batch === 10)
              void client.request(`$JS.API.STREAM.DELETE.${world.prefix}=s=events`, undefined, { timeout: 10_000 });
          }
          // as a bus would that goes on: what is refused by then says that the stream is gone
          const more: Sent[] = [];
          let at = 0;
          await until(
            () => {
              if (waiting(all) + waiting(more) > 0 || more.at(-1)?.outcome !== "stored")
                if (performance.now() >= at) {
                  more.push(...publish(connection, ["more"]));
                  at = performance.now() + 50;
                }
              return waiting(all) + waiting(more) === 0 && more.at(-1)?.outcome === "stored";
            },
            () => `an outcome of each; ${waiting(all)} of ${all.length} wait, and ${waiting(more)}`,
            10_000, // half of what the time-out gives them
          );
        }
        expect(all.some(({ outcome }) => outcome === "unknown")).toBe(true); // or the test had nothing to see
      },
    );

    it("those to a stream that answers nothing are unknown after requestTimeoutMs", async () => {
      const world = new NatsWorld(server);
      const connection = await world.connect({ requestTimeoutMs });
      const client = await connectClient({ servers: world.url });
      onTestFinished(() => client.close());
      const name = `${world.prefix}=s=events`;
      const { config } = (await client.request(`$JS.API.STREAM.INFO.${name}`, undefined, { timeout: 10_000 })).json<{
        readonly config: object;
      }>();
      const update = await client.request(
        `$JS.API.STREAM.UPDATE.${name}`,
        JSON.stringify({ ...config, no_ack: true }),
        { timeout: 10_000 },
      );
      expect(update.json()).not.toHaveProperty("error");
      const started = performance.now();
      const all = [...publish(connection, ["a", "b"])];
      await connection.ping();
      expect(waiting(all)).toBe(2);
      all.push(...publish(connection, ["c"]));
      await until(() => waiting(all) === 0, "their outcomes", requestTimeoutMs + 1_000);
      expect(performance.now() - started).toBeGreaterThan(requestTimeoutMs - 50);
      expect(all.map(({ outcome }) => outcome)).toEqual(["unknown", "unknown", "unknown"]);
      expect(all[0]!.error).toMatchObject({ timedOut: true });
    });
  });
});
