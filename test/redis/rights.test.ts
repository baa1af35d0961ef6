import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { DriverConnection } from "../../src/driver.ts";
import { redis } from "../../src/drivers/redis/index.ts";
import {
  groupSpec,
  joinGroup,
  letterOf,
  numbered,
  outgoing,
  publish,
  type TestConsumption,
  toTopic,
  until,
} from "../support/driver-harness.ts";
import { until as eventually } from "../../src/testing/until.ts";
import { has, key, RedisGroups, stored } from "../support/redis-groups.ts";
import { documentedRules, refusedTo } from "../support/redis-rights.ts";
import { freshPrefix, redisContext } from "../support/redis-session.ts";
import { testBroker } from "../support/test-broker.ts";

const server = await RedisGroups.open(await testBroker("redis"));

/** Asked for where it may be, and done without. */
const optional = ["config|get"];

/** What the sources ask the server for, by name; what makes streams and groups left out. */
function commandsOfDriver(): readonly string[] {
  const folder = "src/drivers/redis";
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const found = new Set<string>();
  for (const file of files.filter((each) => !each.endsWith(".test.ts"))) {
    const text = readFileSync(`${folder}/${file}`, "utf8");
    for (const [, name = "", sub = ""] of text.matchAll(/(?:\b(?:call|try)\(|args = \{)'([A-Z]+)'(?:, '([A-Z]+)')?/g))
      found.add((["XINFO", "XGROUP"].includes(name) ? `${name}|${sub}` : name).toLowerCase());
    for (const [, name = ""] of text.matchAll(/(?:command\(|args = |link, )\[\s*"([A-Z]+)"/g))
      found.add(name.toLowerCase());
  }
  const others = (name: string): boolean => !/^(?:xgroup\|(?!delconsumer)|config|type$)/.test(name);
  return [...found, "eval", "evalsha", "ssubscribe", "sunsubscribe"].filter(others).toSorted();
}

describe.skipIf(server === undefined)("the rights that docs/redis.md names", () => {
  it("are those of the commands that the driver has, and no others", () => {
    const granted = documentedRules("p").filter((rule) => rule.startsWith("+"));
    expect(granted.map((rule) => rule.slice(1)).toSorted()).toEqual(commandsOfDriver());
  });

  it(
    "are enough with short leases, long handlers, a full stream, and members that die",
    { timeout: 30_000 },
    async () => {
      const prefix = freshPrefix();
      const creating = await server!.connection(prefix);
      await creating.ensureStream({ name: "events", topics: [">"], partitions: 2, maxMessages: 8, maxAgeMs: 60_000 });
      const specs = [groupSpec("g"), groupSpec("o", { order: "group" })];
      for (const spec of specs) await creating.ensureGroup(spec);
      const username = `limited-${prefix}`;
      await server!.command("ACL", "SETUSER", username, ...documentedRules(prefix));
      const open: DriverConnection[] = [];
      const limited = async (leaseMs: number): Promise<readonly TestConsumption[]> => {
        const driver = redis({ url: server!.url, username, password: "secret", leaseMs, pollMs: 50 });
        const one = await driver.connect(redisContext(prefix, { manage: "verify" }));
        open.push(one);
        await one.ensureStream({ name: "events", topics: [">"] });
        for (const spec of specs) await one.ensureGroup(spec);
        return [await joinGroup(one, "g"), await joinGroup(one, "o")];
      };
      try {
        const members = await limited(1_500);
        const [g, o] = members as readonly [TestConsumption, TestConsumption];
        const [one] = open as [DriverConnection];
        await stored(one, numbered(8), { key: "k" });
        for (const member of members) await has(member, 8);

        // handlers that run for some leases: their seat is renewed, and nothing is trimmed
        const [seat = ""] = await server!.seats(prefix);
        const till = async (): Promise<number> =>
          Number(await server!.command("ZSCORE", key(prefix, "g:g:beat"), seat));
        const first = await till();
        const renewed = async (): Promise<boolean> => (await till()) > first + 1_000;
        await eventually(renewed, "the lease to be renewed");
        const [refused] = publish(one, ["9"]);
        await until(() => refused!.outcome !== "waiting", "an answer");
        expect(refused).toMatchObject({ outcome: "no", error: { code: "BUS_FULL" } });

        // what they handled goes for what comes
        for (const { consumption, sink } of members) {
          consumption.ack(sink.messages);
          await consumption.flush();
        }
        const more = async (text: string): Promise<boolean> => {
          const [sent] = publish(one, [text], { key: "k" });
          await until(() => sent!.outcome !== "waiting", "an answer");
          return sent!.outcome === "stored";
        };
        await eventually(() => more("11"), "room"); // for 10 ms after a refusal nobody looks
        await stored(one, numbered(7, 12), { key: "k" });
        for (const member of members) await has(member, 16);
        const [retried, released, dead] = g.sink.messages.slice(8);
        const letter = letterOf(dead!, "g");
        expect(
          await g.consumption.settle([
            { how: "retry", message: retried!, delayMs: 1, attempts: 1, headers: [["a", "1"]] },
            { how: "release", message: released!, delayMs: 1, headers: [] },
            { how: "dead", message: dead!, letter },
          ]),
        ).toEqual(["done", "done", "done"]);
        const notes = [{ message: o.sink.messages[8]!, attempts: 1, headers: [], notBefore: undefined }];
        expect(await o.consumption.record(notes)).toEqual(["done"]);
        await has(g, 18);

        // one that dies: its seats are buried by the other
        const seatsOf = async (group: string): Promise<readonly string[]> =>
          (await server!.command("HKEYS", key(prefix, `g:${group}:m`))) as readonly string[];
        const before = [...(await seatsOf("g")), ...(await seatsOf("o"))];
        await limited(60_000);
        for (const group of ["g", "o"]) {
          const [dying = ""] = (await seatsOf(group)).filter((each) => !before.includes(each));
          await server!.command("ZADD", key(prefix, `g:${group}:beat`), "1", dying);
          await eventually(async () => !(await seatsOf(group)).includes(dying), "it to be buried");
        }
        await open.pop()!.close(AbortSignal.timeout(500));

        const { admin } = one;
        const state = one.state!;
        for (const text of await Promise.all([
          admin.streams(),
          admin.groups(),
          admin.members("g"),
          admin.positions("events"),
        ]))
          expect(text).toBeDefined();
        expect(await admin.recoverGroup!("g", 60_000)).toBe(0);
        await admin.trim!("events", { at: "newest" });
        expect(await admin.countLetters("g")).toBe(1);
        expect(await admin.letters("g", undefined, 10)).toHaveLength(1);
        expect(await admin.claimLetters([letter.id], "t", 1_000)).toEqual([letter.id]);
        expect(await admin.removeLetters([letter.id], "t")).toEqual([letter.id]);
        const revision = await state.put("b", "k", new Uint8Array([1]), { ttlMs: 1_000 });
        expect((await state.get("b", "k"))?.revision).toBe(revision);
        for await (const name of state.keys("b", "")) expect(name).toBe("k");
        expect(await state.delete("b", "k")).toBe(true);
        await state.schedule([letter]);
        expect(await state.scheduled(undefined, 10)).toHaveLength(1);
        expect(await state.due(Date.now() + 1_000, 10, 1_000)).toHaveLength(1);
        expect(await state.unschedule([letter.id])).toEqual([letter.id]);
        const later = outgoing(toTopic("a.b"), "later", { notBefore: Date.now() + 20 });
        for (const { consumption, sink } of members) {
          consumption.ack(sink.messages);
          await consumption.flush();
        }
        one.send([later.message]);
        await until(() => g.sink.texts.includes("later") && o.sink.texts.includes("later"), "what was for later");
      } finally {
        for (const each of open) await each.close(AbortSignal.timeout(500));
      }
      const client = { sendCommand: (args: readonly string[]) => server!.command(...args) };
      expect((await refusedTo(client, username)).filter((each) => !optional.includes(each))).toEqual([]);
    },
  );
});
