import { afterEach, describe, expect, it, vi } from "vitest";
import { kafka } from "../../src/drivers/kafka/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, groupSpec, joinGroup } from "../support/driver-harness.ts";
import {
  allowNewGroups,
  commitForeign,
  committedOf,
  joinForeign,
  membersOf,
  newMembersOf,
  writeForeign,
} from "../support/foreign-kafka.ts";
import { AttachWorld, collect, dataOf, type Handled } from "../support/kafka-attach.ts";
import { freshPrefix } from "../support/kafka-session.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const broker = await testBroker("kafka", { own: true });
const world = broker === undefined ? undefined : new AttachWorld(broker);
const slow = 20_000;
const conflict = (text: string | RegExp): object => ({
  code: "BUS_CONFLICT",
  message: expect.stringMatching(text) as string,
});

afterEach(() => world?.close());

describe.skipIf(broker === undefined)("a consumer group that is at Kafka already", () => {
  it("option: KafkaAttachment.groups: goes on where it stands, under its own name, and Kafka's tools see where it is", async () => {
    const topic = await world!.topic(2, 4);
    const [prefix, id] = [freshPrefix(), `shipping service ${freshPrefix()}`];
    await commitForeign(broker!, id, topic, [3, 0]);
    const bus = await world!.bus({ topic, groups: { shipping: id } }, { prefix });
    const handled = await collect(bus, "shipping");
    await until(() => handled.length === 5, "what it has not had yet", slow);
    expect(dataOf(handled)).toEqual(expect.arrayContaining([{ p: 0, n: 3 }, { p: 1, n: 0 }])); // prettier-ignore
    await until(async () => {
      const at = await committedOf(broker!, id, topic);
      return at.get(0) === 4 && at.get(1) === 4;
    }, "its place to be told");
    expect(await membersOf(broker!, id)).toHaveLength(1);
    expect(await membersOf(broker!, `${prefix}.shipping`)).toEqual([]);
    expect(await bus.groups.info("shipping")).toMatchObject({ waiting: 0, inFlight: 0 });

    // who does not say so finds it, who says otherwise is refused
    const other = await world!.bus({ topic }, { prefix });
    await collect(other, "shipping");
    await until(async () => (await membersOf(broker!, id)).length === 2, "both to be members", slow);
    const wrong = await world!.bus({ topic, groups: { shipping: "another" } }, { prefix });
    await expect(collect(wrong, "shipping")).rejects.toMatchObject(conflict(`"${id}" at Kafka`));
    const same = await world!.bus({ topic, groups: { second: id } }, { prefix });
    await expect(collect(same, "second")).rejects.toMatchObject(conflict(/shipping is called/));
    await collect(other, "ours");
    const late = await world!.bus({ topic, groups: { ours: "another" } }, { prefix });
    await expect(collect(late, "ours")).rejects.toMatchObject(conflict(`${prefix}.ours`));
    const taken = await world!.bus({ topic, groups: { third: `${prefix}.ours` } }, { prefix });
    await expect(collect(taken, "third")).rejects.toMatchObject(conflict(/the bus gives itself/));
  });

  it("one that nobody has made yet begins as any other, of what is read of our own streams too", async () => {
    const topic = await world!.topic(1, 2);
    const id = `fresh-${freshPrefix()}`;
    const streams = [
      { name: "orders", topics: ["orders"] },
      { name: "own", topics: ["own"], partitions: 1 },
    ];
    const bus = await world!.bus({ topic, groups: { g: id } }, { streams });
    await bus.publishTopic("own", 3);
    const handled = await collect(bus, "g", "*");
    await until(() => handled.length === 3, "all of both", slow);
    expect(await membersOf(broker!, id)).toHaveLength(1);
  });

  it("where another client goes on meanwhile, or Kafka's own tools put it, the group is", async () => {
    const topic = await world!.topic(1, 6);
    const [prefix, id] = [freshPrefix(), freshPrefix()];
    await commitForeign(broker!, id, topic, [1]);
    const attachment = { topic, groups: { g: id } };
    const first = await world!.bus(attachment, { prefix });
    const before = await collect(first, "g");
    await until(() => before.length === 5, "behind the first", slow);
    await first.close();
    await commitForeign(broker!, id, topic, [4]);
    const second = await world!.bus(attachment, { prefix });
    expect(await second.groups.info("g")).toMatchObject({ waiting: 2 });
    const after = await collect(second, "g");
    await until(() => after.length === 2, "from where it was put", slow);
    expect(dataOf(after)).toEqual([{ p: 0, n: 4 }, { p: 0, n: 5 }]); // prettier-ignore
    await second.close();

    // a reset of ours counts, whatever stood there
    await commitForeign(broker!, id, topic, [5]);
    const third = await world!.bus(attachment, { prefix });
    await third.groups.reset("g", "oldest");
    const all = await collect(third, "g");
    await until(() => all.length >= 6, "all of it", slow);
    expect(all).toHaveLength(6);
  });

  it("is deleted here alone: what it has committed stays, and who makes it again goes on there", async () => {
    const topic = await world!.topic(1, 3);
    const [prefix, id] = [freshPrefix(), freshPrefix()];
    const bus = await world!.bus({ topic, groups: { g: id } }, { prefix });
    const before = await collect(bus, "g");
    await until(async () => (await committedOf(broker!, id, topic)).get(0) === 3, "all to be told", slow);
    expect(before).toHaveLength(3);
    await bus.close();
    const next = await world!.bus({ topic, groups: { g: id } }, { prefix });
    expect(await next.groups.delete("g")).toBe(true);
    expect((await committedOf(broker!, id, topic)).get(0)).toBe(3);
    await writeForeign(broker!, topic, [{ value: "4" }]);
    const after = await collect(next, "g");
    await until(() => after.length > 0, "what is new", slow);
    expect(dataOf(after)).toEqual([4]);
  });

  it("one with members of another client's is refused, and taken over when they are gone", async () => {
    await allowNewGroups(broker!);
    for (const protocol of ["classic", "consumer"] as const) {
      const topic = await world!.topic(1, 1);
      const id = freshPrefix();
      const member = await joinForeign(broker!, id, topic, protocol);
      let isOver = false;
      const leave = async (): Promise<void> => {
        if (!isOver) await member.close();
        isOver = true;
      };
      world!.closing.push(leave);
      const bus = await world!.bus({ topic, groups: { g: id } });
      const from = performance.now();
      await expect(collect(bus, "g")).rejects.toMatchObject(conflict(/members of another client/));
      expect(performance.now() - from).toBeLessThan(5_000);
      await leave();
      const handled: Handled[] = [];
      await until(
        () =>
          collect(bus, "g").then(
            (all) => {
              handled.push(...all);
              return true;
            },
            () => false,
          ),
        "it to be free",
        slow,
      );
    }
  });

  it("members of another client's that come when the group was made already are found when it joins, and left alone", async () => {
    await allowNewGroups(broker!);
    for (const protocol of ["classic", "consumer"] as const) {
      const topic = await world!.topic(2, 1);
      const id = freshPrefix();
      const driver = kafka({ brokers: broker!.url, attach: { orders: { topic, groups: { g: id } } } });
      const { connection } = await connectTo(driver, { prefix: freshPrefix() });
      world!.closing.push(() => connection.close(AbortSignal.timeout(500)));
      await connection.ensureStream({ name: "orders", topics: [">"] });
      await connection.ensureGroup(groupSpec("g", { stream: "orders" }));
      const member = await joinForeign(broker!, id, topic, protocol);
      world!.closing.push(() => member.close());
      await expect(joinGroup(connection, "g")).rejects.toMatchObject(conflict(/members of another client/));
      const left = protocol === "consumer" ? newMembersOf : async () => (await membersOf(broker!, id)).length;
      await until(async () => (await left(broker!, id)) === 1, "theirs to be alone", slow);
      await expect(connection.ensureGroup(groupSpec("g", { stream: "orders" }))).rejects.toMatchObject(
        conflict(/members of another client/),
      );
    }
  });

  it("a live group has no place to go on from, so it can't be one", async () => {
    const topic = await world!.topic(1);
    const bus = await world!.bus({ topic, groups: { g: freshPrefix() } });
    const live = bus.subscribePattern(">", () => undefined, { group: "g", live: true });
    await expect(live).rejects.toMatchObject({
      code: expect.stringMatching(/BUS_CONFLICT|BUS_INVALID_OPTION/) as string,
    });
  });
});
