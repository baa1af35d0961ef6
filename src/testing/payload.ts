import assert from "node:assert/strict";
import { defineEvent, typed } from "../index.ts";
import { itemsWhere } from "./items-where.ts";
import { rejection } from "./rejection.ts";
import { Runs } from "./runs.ts";
import type { Suite } from "./suite.ts";
import { until } from "./until.ts";

/** docs/guarantees.md, Publishing: what an event may be, and that it arrives as it was. */
export function payloadTests({ test }: Suite): void {
  test(
    { name: "refuses data that breaks its schema, names the field, and stores nothing of it", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const strict = defineEvent(lab.topic("strict"), { schema: itemsWhere((n) => n % 2 === 0, "is odd") });
      const runs = new Runs();
      await bus.subscribePattern(strict.type, runs.handler() as never, { group: lab.group() });
      const error = await rejection(bus.publish(strict, { n: 3 }), "BUS_INVALID_DATA");
      assert.match(JSON.stringify((error as { issues?: unknown }).issues), /"n"/);
      await bus.publish(strict, { n: 4 });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([4]);
    },
  );

  test(
    { name: "refuses a topic that could not be told from a pattern or a command, before anything is sent" },
    async (lab) => {
      const bus = await lab.bus();
      for (const topic of [
        "",
        "a..b",
        ".a",
        "a.",
        "a.*",
        "a.>",
        "a b",
        "a\r\nPUB x 0",
        "a\u0000b",
        "a\u00a0b",
        "\ud800",
      ]) {
        await rejection(bus.publishTopic(topic, {}), "BUS_INVALID_TOPIC");
      }
      assert.equal((await bus.publishTopic(lab.topic("good"), {})).stream, "events");
    },
  );

  test(
    { name: "carries ten metadata keys, unicode, empty values and awkward names unchanged", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus();
      const item = lab.event();
      const metadata = {
        constructor: "c",
        toString: "t",
        a: "",
        b: "ü日本\u{1f680}",
        c: " lead ",
        d: null,
        e: [1, 2],
        f: { g: true },
        "x-h": "\r\n",
        é: 0,
      };
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await bus.publish(item, { n: 1, text: "\u0000\u2028\u{1f680}é" }, { metadata, key: "ключ 🔑" });
      await runs.until(1);
      const { event } = runs.all[0] as (typeof runs.all)[0];
      assert.equal(
        JSON.stringify(Object.entries(event.metadata).toSorted()),
        JSON.stringify(Object.entries(metadata).toSorted()),
      );
      assert.deepEqual([event.data.text, event.key], ["\u0000\u2028\u{1f680}é", "ключ 🔑"]);
    },
  );

  test(
    {
      name: "carries bytes from 0x00 to 0xFF, no bytes at all, and many",
      needs: ["groups"],
      short: { bytes: 262_144 },
      full: { bytes: 700_000 }, // with base64 and its envelope below what NATS takes by default
    },
    async (lab, { bytes }) => {
      const limit = Math.min(4 * 1_048_576, lab.driver.capabilities.maxMessageBytes ?? Infinity);
      const bus = await lab.bus({ maxMessageBytes: limit });
      const blob = defineEvent(lab.topic("blob"), { schema: typed<Uint8Array>() });
      const sent = [
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
        new Uint8Array(0),
        Uint8Array.from({ length: Math.min(bytes, limit / 2) }, () => lab.random() * 256),
      ];
      const received = new Map<string | undefined, Uint8Array>();
      await bus.subscribe(blob, (event) => received.set(event.key, event.data), { group: lab.group() });
      await Promise.all(sent.map((data, index) => bus.publish(blob, data, { key: `${index}` })));
      await until(
        () => received.size === sent.length,
        () => `3 bodies, got ${received.size}`,
      );
      for (const [index, data] of sent.entries()) {
        assert.ok(received.get(`${index}`) instanceof Uint8Array, `body ${index} is bytes`);
        assert.equal(Buffer.compare(received.get(`${index}`) as Uint8Array, data), 0, `body ${index} is unchanged`);
      }
    },
  );

  test(
    { name: "refuses an event above the size limit and takes one just below it", needs: ["groups"] },
    async (lab) => {
      const bus = await lab.bus({ maxMessageBytes: 4_096 });
      const item = lab.event();
      const runs = new Runs();
      await bus.subscribe(item, runs.handler(), { group: lab.group() });
      await rejection(bus.publish(item, { n: 1, text: "x".repeat(4_097) }), "BUS_TOO_LARGE");
      await bus.publish(item, { n: 2, text: "x".repeat(3_000) });
      await runs.until(1);
      await runs.silence(lab.quietMs);
      runs.assertOnce([2]);
    },
  );
}
