import { connect as connectClient, type NatsConnection } from "@nats-io/transport-node";
import { describe, expect, it, onTestFinished } from "vitest";
import type { DriverConnection, StoredMessage } from "../../src/driver.ts";
import { nats } from "../../src/drivers/nats/index.ts";
import { until } from "../../src/testing/until.ts";
import { ClockAhead } from "../support/clock-ahead.ts";
import { connectTo, toQueue } from "../support/driver-harness.ts";
import { natsServers, NatsWorld } from "../support/nats-world.ts";

const servers = await natsServers();
const hourMs = 3_600_000;
const due: StoredMessage = {
  id: "due",
  to: toQueue("g"),
  group: undefined,
  topic: "jobs",
  key: undefined,
  headers: [],
  body: new Uint8Array(1),
  storedAt: 0,
  notBefore: 9e12,
};

describe.each(servers)("what is deleted or dead, at $name", (server) => {
  describe.skipIf(server.broker === undefined)("does not stay in the bucket for ever", () => {
    async function raw(): Promise<NatsConnection> {
      const client = await connectClient({ servers: server.broker!.url });
      onTestFinished(() => client.close());
      return client;
    }
    const keysOf = async (client: NatsConnection, { prefix }: NatsWorld): Promise<readonly string[]> => {
      const info = await client.request(`$JS.API.STREAM.INFO.KV_${prefix}`, JSON.stringify({ subjects_filter: ">" }), {
        timeout: 10_000,
      });
      const { subjects } = info.json<{ readonly state: { readonly subjects: object } }>().state;
      return Object.keys(subjects).map((subject) => subject.slice(`$KV.${prefix}.`.length));
    };
    /** Leaves a mark where a key of the state and a message taken back were, and one where a member was. */
    async function leaveMarks(world: NatsWorld, connection: DriverConnection): Promise<void> {
      const state = connection.state!;
      for (const key of ["gone", "kept"]) await state.put("settings", key, Buffer.from("x"), {});
      expect(await state.delete("settings", "gone")).toBe(true);
      await state.schedule([due]);
      expect(await state.unschedule(["due"], true)).toEqual(["due"]);
      const other = await world.connect({ member: "went", streams: [] });
      await other.close(AbortSignal.timeout(2_000));
    }
    async function leader(world: NatsWorld, clock: ClockAhead, leaseMs: number): Promise<DriverConnection> {
      const { connection } = await connectTo(nats({ servers: world.url, leaseMs }), {
        prefix: world.prefix,
        member: "a-leader",
        clock,
      });
      onTestFinished(() => connection.close(AbortSignal.timeout(2_000)));
      return connection;
    }
    const marks = ["b.settings.gone", "e.due", "m.went"];

    it.skipIf(server.name !== "nats")("from 2.11 on marks and members' entries have a time to live", async () => {
      const world = new NatsWorld(server);
      await leaveMarks(world, await world.connect({ member: "here" }));
      const client = await raw();
      const lives = async (key: string): Promise<string | undefined> => {
        const query = JSON.stringify({ last_by_subj: `$KV.${world.prefix}.${key}` });
        const found = await client.request(`$JS.API.STREAM.MSG.GET.KV_${world.prefix}`, query);
        const { hdrs = "" } = found.json<{ readonly message: { readonly hdrs?: string } }>().message;
        return /Nats-TTL: (\w+)/.exec(Buffer.from(hdrs, "base64").toString())?.[1];
      };
      expect(await Promise.all(marks.map(lives))).toEqual(["3600s", "3600s", "3600s"]);
      expect(await lives("m.here")).toBe("100s");
      expect(await lives("b.settings.kept")).toBeUndefined();
    });

    it(
      "what has no time to live is swept after an hour, with the entries of members that were killed",
      { timeout: 30_000 },
      async () => {
        const world = new NatsWorld(server);
        const clock = new ClockAhead();
        const connection = await leader(world, clock, 600);
        await leaveMarks(world, connection);
        const client = await raw();
        const killed = { id: "killed", name: "", host: "", pid: 1, since: 0, groups: {} };
        await client.request(`$KV.${world.prefix}.m.killed`, JSON.stringify(killed));
        const before = await keysOf(client, world);
        expect(before).toEqual(expect.arrayContaining([...marks, "m.killed", "b.settings.kept", "m.a-leader"]));
        let after: readonly string[] = before;
        // time in which nobody could be heard is not held against a member: it is dead a lease later
        for (let times = 0; times < 5 && after.includes("m.killed"); times += 1) {
          clock.ms += 25 * hourMs;
          await until(
            async () => {
              after = await keysOf(client, world);
              return !marks.some((key) => after.includes(key)) && (times === 0 || !after.includes("m.killed"));
            },
            () => `marks gone; ${after.join()}`,
            3_000,
          ).catch((error: unknown) => {
            if (times === 4) throw error;
          });
        }
        expect(before.filter((key) => !after.includes(key)).toSorted()).toEqual([...marks, "m.killed"].toSorted());
      },
    );

    it("who wakes up from an hour's sleep does not sweep its own entry", { timeout: 30_000 }, async () => {
      const world = new NatsWorld(server);
      const clock = new ClockAhead();
      // it looks what there is to sweep each second, and renews its entry each fifth
      const connection = await leader(world, clock, 30_000);
      await leaveMarks(world, connection);
      const client = await raw();
      expect(await keysOf(client, world)).toEqual(expect.arrayContaining(marks));
      clock.ms = 25 * hourMs;
      let after: readonly string[] = [];
      const swept = async (): Promise<boolean> => {
        after = await keysOf(client, world);
        return !marks.some((key) => after.includes(key));
      };
      await until(swept, () => `marks gone; ${after.join()}`, 5_000);
      expect(after).toContain("m.a-leader");
    });
  });
});
