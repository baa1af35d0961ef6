import { describe, expect, it } from "vitest";
import { connect, type Bus } from "../../src/index.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import type { Headers } from "../../src/driver.ts";
import { encodeEvent, header } from "../../src/wire.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, outgoing, toQueue, toTopic } from "../support/driver-harness.ts";
import { type Count, fresh, Seen, Tick } from "../support/events.ts";

const every = [...Object.values(header)].filter((name) => name.startsWith("omnibus-"));
const values = [
  "",
  "999",
  "-1",
  "NaN",
  "1e309",
  "tick",
  "tick,tick#2",
  "%",
  "%E0%A4%A",
  ",,,",
  "__proto__",
  "[",
  '[{"at":1}]',
  '{"__proto__":1}',
  "x".repeat(100_000),
  "\u0000",
  "1",
];

interface Attack {
  readonly bus: Bus;
  readonly seen: Seen;
  readonly send: (headers: Headers, lane: "stream" | "queue", body?: string) => void;
}
async function attacked(): Promise<Attack> {
  const name = fresh("store");
  const bus = await connect({ driver: memory({ name }), retry: { maxAttempts: 2, backoff: { baseMs: 1, maxMs: 1 } } });
  const seen = new Seen();
  await bus.subscribe(Tick, seen.handle, { group: "g", order: "none", handOnMs: 200 });
  const { connection } = await connectTo(memory({ name }));
  let sent = 0;
  return {
    bus,
    seen,
    send: (headers, lane, given) => {
      const { headers: own, body } = encodeEvent({ topic: "tick", type: "tick", data: { n: (sent += 1) } });
      const text = given ?? new TextDecoder().decode(body);
      connection.send([
        outgoing(lane === "queue" ? toQueue("g", "tick") : toTopic("tick"), text, {
          headers: [...Object.entries(own), ...headers],
        }).message,
      ]);
    },
  };
}

describe("forged headers", () => {
  for (const lane of ["stream", "queue"] as const) {
    it(`on the ${lane} never skip a handler in silence: handled, or a dead letter`, async () => {
      const { bus, seen, send } = await attacked();
      await using _ = bus;
      for (const name of every) for (const value of values) send([[name, value]], lane);
      const sent = Array.from({ length: every.length * values.length }, (_, index) => index + 1);
      let missing = sent;
      await until(
        async () => {
          const { items } = await bus.deadLetters.list({ limit: 1_000 });
          const accounted = new Set([
            ...seen.numbers,
            ...items.map(({ event }) => (event?.data as Count | undefined)?.n),
          ]);
          missing = sent.filter((n) => !accounted.has(n));
          return missing.length === 0;
        },
        () => `neither handled nor a letter: ${missing.join(", ")}`,
        10_000,
      );
      const { items } = await bus.deadLetters.list({ limit: 1_000 });
      for (const { failedAt, firstFailedAt, attempts, history } of items) {
        expect(
          Number.isNaN(failedAt.getTime()) || Number.isNaN(firstFailedAt.getTime()) || Number.isNaN(attempts),
        ).toBe(false);
        expect(Array.isArray(history)).toBe(true);
      }
      await bus.publish(Tick, { n: -1 });
      await until(() => seen.numbers.includes(-1), "that the bus still works");
    });
  }

  it("leave a letter that reads and replays", async () => {
    const { bus, send } = await attacked();
    await using _ = bus;
    const failing = await bus.subscribe(Tick, () => Promise.reject(new Error("no")), { group: "g", name: "failing" });
    for (const name of every) send([[name, "NaN"]], "queue");
    await until(async () => (await bus.deadLetters.count()) >= every.length - 2, "letters", 5_000);
    const { items } = await bus.deadLetters.list();
    for (const letter of items)
      expect([letter.failedAt, letter.firstFailedAt].some((date) => Number.isNaN(date.getTime()))).toBe(false);
    await failing.unsubscribe();
    const { replayed, failed } = await bus.deadLetters.replay({ group: "g" });
    expect([replayed, failed]).toEqual([items.length, 0]);
    await until(async () => (await bus.groups.info("g")).waiting === 0, "the replay");
  });
});

describe("bodies that are no event", () => {
  it("become dead letters with their bytes, at once, and the bus works on", async () => {
    const { bus, seen, send } = await attacked();
    await using _ = bus;
    const bodies = [
      "",
      "{",
      "null",
      "7",
      "[]",
      "{}",
      '{"specversion":"1.0"}',
      '{"specversion":"9"}',
      "\uFEFF{}",
      '{"specversion":"1.0","id":1,"type":2,"source":3}',
      "[".repeat(100_000),
      '{"specversion":"1.0","id":"a","source":"s","type":"tick","data":{"__proto__":{"admin":true}}}',
    ];
    for (const body of bodies) send([], "stream", body);
    await until(async () => seen.count + (await bus.deadLetters.count()) >= bodies.length - 1, "letters", 5_000);
    const { items } = await bus.deadLetters.list();
    for (const { reason, raw, event } of items) {
      expect(reason.code).toMatch(/^BUS_(UNDECODABLE|INVALID_DATA)$/);
      expect(bodies).toContain(new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw));
      expect(event).toBeUndefined();
    }
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
    await bus.publish(Tick, { n: 1 });
    await until(() => seen.numbers.includes(1), "that the bus still works");
  });
});
