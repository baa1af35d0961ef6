import { describe, expect, it, vi } from "vitest";
import type { Parcel } from "../../src/drivers/kafka/lane.ts";
import { FaultProxy } from "../../src/testing/index.ts";
import { until } from "../../src/testing/until.ts";
import { KafkaParts } from "../support/kafka-parts.ts";
import { testBroker } from "../support/test-broker.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const kafka = await testBroker("kafka", { own: true });

let topics = 0;
const newTopic = (): string => `producer-${(topics += 1)}`;

/** What was told of each value. */
class Told {
  readonly stored = new Map<string, bigint>();
  readonly failed = new Map<string, string>();

  parcel(value: string, timeoutMs = 60_000): Parcel {
    const once = (): void => {
      if (this.stored.has(value) || this.failed.has(value)) throw new Error(`${value} was told twice`);
    };
    return {
      key: undefined,
      value: Buffer.from(value),
      headers: ["t", "orders.placed"],
      bytes: value.length + 100,
      deadline: performance.now() + timeoutMs,
      stored: (offset) => {
        once();
        this.stored.set(value, offset);
      },
      failed: (how, error) => {
        once();
        this.failed.set(value, `${how} ${(error as { readonly code?: string }).code}`);
      },
    };
  }

  get all(): number {
    return this.stored.size + this.failed.size;
  }
}

describe.skipIf(kafka === undefined)("a producer of Kafka", () => {
  it("stores in the order of the calls, each record at the place that it is told", async () => {
    if (kafka === undefined) return;
    using parts = await KafkaParts.at(kafka);
    const topic = newTopic();
    await parts.makeTopic(topic, 3);
    const told = new Told();
    for (let at = 0; at < 300; at += 1) {
      parts.producer.add(topic, at % 3, told.parcel(`v${at}`));
      if (at % 7 === 0) parts.producer.flush();
      if (at % 50 === 0) await until(() => told.all > 0, "an answer");
    }
    parts.producer.flush();
    await until(() => told.all === 300, "all answers");
    expect(told.failed).toEqual(new Map());
    for (const partition of [0, 1, 2]) {
      const expected = Array.from({ length: 100 }, (_, at) => `${at} v${at * 3 + partition}`);
      expect(await parts.read(topic, partition)).toEqual(expected);
      expect(expected.map((line) => line.split(" ")[1] ?? "").map((value) => told.stored.get(value))).toEqual(
        expected.map((_, at) => BigInt(at)),
      );
    }
  });

  it("stores once what it had to send again, since its answer was lost", async () => {
    if (kafka === undefined) return;
    await using proxy = await FaultProxy.start(kafka.url).then((each) => ({
      each,
      [Symbol.asyncDispose]: () => each.close(),
    }));
    using parts = await KafkaParts.at(kafka, proxy.each.port);
    const topic = newTopic();
    await parts.makeTopic(topic, 1);
    const told = new Told();
    parts.producer.add(topic, 0, told.parcel("first"));
    parts.producer.flush();
    await until(() => told.all === 1, "the first");
    const swallowed = proxy.each.swallowReply({ request: "swallow-me" });
    parts.producer.add(topic, 0, told.parcel("swallow-me"));
    parts.producer.add(topic, 0, told.parcel("beside"));
    parts.producer.flush();
    expect(await swallowed).toBe(true);
    parts.producer.add(topic, 0, told.parcel("behind"));
    parts.producer.flush();
    await until(() => told.all === 4, "all answers");
    expect(await parts.read(topic, 0)).toEqual(["0 first", "1 swallow-me", "2 beside", "3 behind"]);
    expect([...told.stored.values()]).toEqual([0n, 1n, 2n, 3n]);
  });

  it("one partition's refusal is not the others', and a topic that is not there is said", async () => {
    if (kafka === undefined) return;
    using parts = await KafkaParts.at(kafka, undefined, 15_000);
    const topic = newTopic();
    await parts.makeTopic(topic, 2);
    const told = new Told();
    parts.producer.add(topic, 0, told.parcel("x".repeat(1_100_000)));
    parts.producer.add(topic, 1, told.parcel("fine"));
    parts.producer.add("not-there", 0, told.parcel("lost"));
    parts.producer.flush();
    await until(() => told.all === 3, "all answers");
    expect([...told.failed.values()].toSorted()).toEqual(["no BUS_NOT_FOUND", "no BUS_TOO_LARGE"]);
    expect(await parts.read(topic, 1)).toEqual(["0 fine"]);
    parts.producer.add(topic, 0, told.parcel("next"));
    parts.producer.flush();
    await until(() => told.all === 4, "the next");
    expect(await parts.read(topic, 0)).toEqual(["0 next"]);
  });

  it("is unknown at its deadline when the broker stands still, and goes on under a new id", async () => {
    if (kafka === undefined) return;
    using parts = await KafkaParts.at(kafka);
    const topic = newTopic();
    await parts.makeTopic(topic, 1);
    const told = new Told();
    parts.producer.add(topic, 0, told.parcel("first"));
    parts.producer.flush();
    await until(() => told.all === 1, "the first");
    await kafka.pause();
    parts.producer.add(topic, 0, told.parcel("stuck", 700));
    parts.producer.flush();
    parts.producer.add(topic, 0, told.parcel("behind", 800));
    parts.producer.flush();
    await until(() => told.all === 3, "both ends");
    await kafka.resume();
    expect([told.failed.get("stuck"), told.failed.get("behind")]).toEqual(["unknown BUS_TIMEOUT", "no BUS_TIMEOUT"]);
    parts.producer.add(topic, 0, told.parcel("last"));
    parts.producer.flush();
    await until(() => told.all === 4, "the last");
    const values = (await parts.read(topic, 0)).map((line) => line.split(" ")[1]);
    expect(values.filter((value) => value !== "stuck")).toEqual(["first", "last"]);
    expect(values.indexOf("last")).toBe(Number(told.stored.get("last")));
  });

  it("stores once what another lane's new id would have made another batch", async () => {
    if (kafka === undefined) return;
    await using proxy = await FaultProxy.start(kafka.url).then((each) => ({
      each,
      [Symbol.asyncDispose]: () => each.close(),
    }));
    using parts = await KafkaParts.at(kafka, proxy.each.port);
    const topic = newTopic();
    await parts.makeTopic(topic, 2);
    const told = new Told();
    for (const partition of [0, 1]) parts.producer.add(topic, partition, told.parcel(`first ${partition}`));
    parts.producer.flush();
    await until(() => told.all === 2, "the first");
    const swallowed = proxy.each.swallowReply({ request: "stays" });
    parts.producer.add(topic, 0, told.parcel("given up", 700));
    parts.producer.add(topic, 1, told.parcel("stays"));
    parts.producer.flush();
    expect(await swallowed).toBe(true);
    proxy.each.down(); // to the leader; whoever gives out ids is reached all the time
    await until(() => told.failed.get("given up") === "unknown BUS_TIMEOUT", "the end of the one");
    parts.producer.add(topic, 0, told.parcel("last 0"));
    parts.producer.flush();
    const from = performance.now();
    await until(() => performance.now() - from > 300, "time for another id");
    await proxy.each.up();
    parts.producer.add(topic, 1, told.parcel("last 1"));
    parts.producer.flush();
    await until(() => told.all === 6, "all answers");
    expect(await parts.read(topic, 1)).toEqual(["0 first 1", "1 stays", "2 last 1"]);
    expect(await parts.read(topic, 0)).toEqual(["0 first 0", "1 given up", "2 last 0"]);
  });

  it("loses nothing and repeats nothing over a kill, in order", async () => {
    if (kafka === undefined) return;
    using parts = await KafkaParts.at(kafka);
    const topic = newTopic();
    await parts.makeTopic(topic, 2);
    const told = new Told();
    let sent = 0;
    const more = (): void => {
      for (let at = 0; at < 10; at += 1) {
        parts.producer.add(topic, sent % 2, told.parcel(`v${sent}`));
        sent += 1;
      }
      parts.producer.flush();
    };
    while (told.stored.size < 200) {
      more();
      await until(() => told.all + 100 > sent, "answers");
    }
    more();
    await kafka.kill();
    const before = told.all;
    more();
    expect(before).toBeLessThan(sent); // something was under way
    await kafka.start();
    more();
    await until(() => told.all === sent, "all answers", 60_000);
    expect(told.failed).toEqual(new Map());
    for (const partition of [0, 1]) {
      const values = (await parts.read(topic, partition)).map((line) => Number(line.split(" v")[1]));
      expect(values).toEqual(Array.from({ length: sent / 2 }, (_, at) => at * 2 + partition));
    }
  });
});
