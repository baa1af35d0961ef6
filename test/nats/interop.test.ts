import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect as connectClient } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { connect } from "../../src/index.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { fresh, Keyed } from "../support/events.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();

describe.each(servers)("what the bus keeps, read by NATS's own packages, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("as the server has it", () => {
    it("an event is a CloudEvent under its topic's subject", async () => {
      const prefix = fresh(`i${process.pid}`);
      const bus = await connect({ driver: nats({ servers: server.broker!.url }), prefix });
      onTestFinished(() => bus.close().then(() => undefined));
      const receipt = await bus.publish(Keyed, { of: "a b", n: 1 });
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const consumer = await jetstream(client).consumers.get(`${prefix}=s=events`);
      const message = await consumer.next({ expires: 2_000 });
      expect(message!.subject).toMatch(new RegExp(`^${prefix}\\.s\\.events\\.\\d+\\.keyed$`));
      expect(message!.headers!.get("Nats-Msg-Id")).toBe(receipt.id);
      expect(message!.json()).toMatchObject({
        specversion: "1.0",
        id: receipt.id,
        type: "keyed",
        data: { of: "a b", n: 1 },
      });
      const { config } = await (await jetstreamManager(client)).streams.info(`${prefix}=s=events`);
      expect(config).toMatchObject({ storage: "file", retention: "limits", discard: "new", max_age: 604_800_000e6 });
    });

    it("state is a bucket, and what is put into it so is state", async () => {
      const world = new NatsWorld(server);
      const { state } = await world.connect();
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      const bucket = await new Kvm(client).open(world.prefix);
      const revision = await state!.put("settings", "colour", Buffer.from("blue"), {});
      const entry = await bucket.get("b.settings.colour");
      expect([entry!.string(), String(entry!.revision)]).toEqual(["blue", revision]);
      await bucket.put("b.settings.colour", "green");
      expect(Buffer.from((await state!.get("settings", "colour"))!.value).toString()).toBe("green");
      await bucket.delete("b.settings.colour");
      expect(await state!.get("settings", "colour")).toBeUndefined();
      expect(await state!.put("settings", "colour", Buffer.from("red"), { expect: null })).toBeDefined();
      expect((await bucket.get("b.settings.colour"))!.string()).toBe("red");
    });
  });
});
