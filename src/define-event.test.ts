import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineEvent, typed } from "./define-event.ts";
import { made } from "./event.ts";
import { outgoing } from "./outgoing.ts";
import { check } from "./schema-check.ts";

const Order = z.object({ orderId: z.string(), region: z.string(), total: z.number() });
const OrderPlaced = defineEvent("orders.placed", {
  schema: Order,
  topic: "orders.{region}.placed",
  key: (order) => order.orderId,
});
const order = { orderId: "o-1", region: "eu", total: 12 };
const loosely = defineEvent as unknown as (type: unknown, options: unknown) => typeof OrderPlaced;
const withTopic = (topic: string, fields: object = { region: z.unknown() }) =>
  loosely("x", { schema: z.object(fields as { region: z.ZodUnknown }), topic });
const region = (value: unknown): (() => string) => {
  const event = withTopic("x.{region}");
  return () => event.topicOf({ region: value } as never);
};

describe("defineEvent", () => {
  it("makes a value with defaults: the type as the topic, version 1, no key, normal priority", () => {
    const Tick = defineEvent("clock.tick", { schema: typed<{ at: number }>() });
    expect(Tick).toMatchObject({
      type: "clock.tick",
      version: 1,
      pattern: "clock.tick",
      upcast: {},
      priority: "normal",
    });
    expect(Tick.topicOf({ at: 1 })).toBe("clock.tick");
    expect(Tick.keyOf({ at: 1 })).toBeUndefined();
    expect(Object.isFrozen(Tick)).toBe(true);
  });

  it("takes topic and key from the data (option: DefineEventOptions.topic, DefineEventOptions.key)", () => {
    expect(OrderPlaced.pattern).toBe("orders.*.placed");
    expect(OrderPlaced.topicOf(order)).toBe("orders.eu.placed");
    expect(OrderPlaced.keyOf(order)).toBe("o-1");
  });

  it("keeps version, upcasts and priority (option: DefineEventOptions.version, DefineEventOptions.upcast, DefineEventOptions.priority)", () => {
    const lift = (old: unknown): unknown => old;
    const event = defineEvent("x", { schema: typed<1>(), version: 3, upcast: { 1: lift, 2: lift }, priority: "high" });
    expect(event).toMatchObject({ version: 3, upcast: { 1: lift, 2: lift }, priority: "high" });
  });

  it("makes items for publishMany that know their definition", () => {
    const item = OrderPlaced.of(order, { key: "k" });
    expect(item).toEqual({
      [made]: true,
      event: OrderPlaced,
      topic: "orders.*.placed",
      data: order,
      options: { key: "k" },
    });
  });

  it("takes the schemas of zod, valibot and arktype (option: DefineEventOptions.schema)", () => {
    const events = [
      defineEvent("a", { schema: z.object({ n: z.number() }), topic: "a.{n}" }),
      defineEvent("a", { schema: v.object({ n: v.number() }), topic: "a.{n}" }),
      defineEvent("a", { schema: type({ n: "number" }), topic: "a.{n}" }),
    ] as const;
    for (const event of events) {
      expect(event.topicOf({ n: 7 })).toBe("a.7");
      expect(check(event.schema, { n: 7 }, "data")).toEqual({ n: 7 });
      expect(() => check(event.schema, { n: "7" }, "data")).toThrow("invalid data: n: ");
    }
  });

  it.each([
    ["a.{b", "token 2 must be either text or one {field}"],
    ["a.b}", "token 2 must be either text or one {field}"],
    ["a.x{b}", "token 2 must be either text or one {field}"],
    ["a.{b}{c}", "token 2 must be either text or one {field}"],
    ["a.{}", "token 2 must be either text or one {field}"],
    ["a.*", "a wildcard; take a token from the data with {field}"],
    [">", "a wildcard; take a token from the data with {field}"],
  ])("refuses the template %s", (topic, problem) => {
    expect(() => withTopic(topic)).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_TOPIC",
        message: `event "x": invalid topic "${topic}": ${problem}`,
      }),
    );
  });

  it.each(["a b.{region}", "amq.{region}", "a..{region}", `${"t.".repeat(16)}{region}`])(
    "refuses the template %s as it would a topic",
    (topic) => {
      expect(() => withTopic(topic)).toThrow(expect.objectContaining({ code: "BUS_INVALID_TOPIC" }));
    },
  );

  it("refuses a type that is no topic unless there is one", () => {
    expect(() => defineEvent("order placed", { schema: Order })).toThrow(
      expect.objectContaining({ code: "BUS_INVALID_TOPIC" }),
    );
    expect(defineEvent("order placed", { schema: Order, topic: "orders" }).topicOf(order)).toBe("orders");
  });

  it.each([
    ["", {}, "invalid event type: it is empty"],
    [7, {}, "invalid event type: it must be a string, not a number"],
    ["a\nb", {}, "invalid event type: U+000A at position 2: a control character"],
    [
      "x",
      undefined,
      'event "x": "schema" must be a Standard Schema (zod 3.24, valibot 1, arktype 2 or newer, or typed<T>()), not undefined',
    ],
    [
      "x",
      { schema: { parse: () => 1 } },
      'event "x": "schema" must be a Standard Schema (zod 3.24, valibot 1, arktype 2 or newer, or typed<T>()), not an object',
    ],
    ["x", { schema: Order, keys: () => "x" }, 'event "x" has no option "keys"; did you mean "key"?'],
    ["x", { schema: Order, key: "orderId" }, 'event "x": "key" must be a function'],
    ["x", { schema: Order, version: 0 }, 'event "x": "version" must be a whole number from 1 to 2147483647'],
    ["x", { schema: Order, version: 1.5 }, 'event "x": "version" must be a whole number from 1 to 2147483647'],
    ["x", { schema: Order, version: 2, upcast: { 2: () => 1 } }, 'event "x": "upcast.2" must be a version below 2'],
    ["x", { schema: Order, version: 2, upcast: { 0: () => 1 } }, 'event "x": "upcast.0" must be a version below 2'],
    ["x", { schema: Order, version: 2, upcast: { one: () => 1 } }, 'event "x": "upcast.one" must be a version below 2'],
    ["x", { schema: Order, version: 2, upcast: { 1: "x" } }, 'event "x": "upcast.1" must be a function'],
    [
      "x",
      { schema: Order, priority: "urgent" },
      'event "x": "priority" must be one of "low", "normal", "high", "critical"',
    ],
  ])("refuses %j with %o", (name, options, message) => {
    expect(() => loosely(name, options)).toThrow(expect.objectContaining({ code: "BUS_INVALID_OPTION", message }));
  });
});

describe("topicOf", () => {
  it.each([
    ["eu", "x.eu"],
    [7, "x.7"],
    [-7, "x.-7"],
    [7n, "x.7"],
    [true, "x.true"],
    ["__proto__", "x.__proto__"],
    ["ελ", "x.ελ"],
  ])("makes a token of %o", (value, topic) => {
    expect(region(value)()).toBe(topic);
  });

  it.each([
    [undefined, "is missing"],
    [null, "is null, not a string, number, boolean or bigint"],
    [{}, "is an object, not a string, number, boolean or bigint"],
    [["a"], "is an array, not a string, number, boolean or bigint"],
    ["", "is empty"],
    ["x.y", "has a dot, which would make several tokens of it"],
    [1.5, "has a dot, which would make several tokens of it"],
    [">", "is a wildcard"],
    ["*", "is a wildcard"],
    ["a b", "is no token: letters, digits, - and _ only, in normal form NFC, at most 255 bytes"],
    ["a\r\nPUB", "is no token: letters, digits, - and _ only, in normal form NFC, at most 255 bytes"],
    [1e21, "is no token: letters, digits, - and _ only, in normal form NFC, at most 255 bytes"],
    ["x".repeat(256), "is no token: letters, digits, - and _ only, in normal form NFC, at most 255 bytes"],
  ])("refuses %o and names the field, never the value", (value, problem) => {
    expect(region(value)).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_TOPIC",
        message: `event "x": no topic from the data (x.{region}): "region" ${problem}`,
      }),
    );
  });

  it("refuses data that is no object, and values that only make a bad topic together", () => {
    expect(() => withTopic("x.{region}").topicOf(null as never)).toThrow('"region" is missing');
    expect(() => withTopic("{region}.x").topicOf({ region: "amq" } as never)).toThrow("reserved for the broker");
    expect(() => withTopic("{region}.x").topicOf({ region: -1 } as never)).toThrow("it would be read as an option");
    expect(() => withTopic("x.{constructor}").topicOf({} as never)).toThrow('"constructor" is a function');
  });

  it("does not repeat what came with the data when the whole is no topic", () => {
    const secret = "s3cret".repeat(40);
    expect(() => withTopic("some-long-token.{region}").topicOf({ region: secret } as never)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("s3cret") as string }),
    );
  });
});

describe("keyOf", () => {
  const keyed = (key: (data: { readonly id: string }) => unknown) => loosely("x", { schema: typed(), key });
  const keyOf = (key: () => unknown) => () => keyed(key).keyOf({} as never);

  it.each([
    [undefined, "it must be a string, not undefined"],
    [null, "it must be a string, not null"],
    [7, "it must be a string, not a number"],
    [{}, "it must be a string, not an object"],
    ["", "it is empty"],
    ["x".repeat(256), "it is longer than 255 bytes"],
    ["a\0", "U+0000 at position 2: a control character"],
  ])("refuses %o", (key, problem) => {
    expect(keyOf(() => key)).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_DATA",
        message: `event "x": invalid key from the data: ${problem}`,
      }),
    );
  });

  it("takes a word that is a prototype's, and gives the cause when the function throws", () => {
    expect(keyOf(() => "__proto__")()).toBe("__proto__");
    const cause = new Error("boom");
    expect(
      keyOf(() => {
        throw cause;
      }),
    ).toThrow(expect.objectContaining({ message: 'event "x": its key function failed', cause }));
  });
});

describe("outgoing", () => {
  it("makes an untyped item, checked where it is made", () => {
    expect(outgoing("a.b", { n: 1 }, { type: "t" })).toEqual({
      [made]: true,
      event: undefined,
      topic: "a.b",
      data: { n: 1 },
      options: { type: "t" },
    });
    expect(() => outgoing("a b", {})).toThrow(expect.objectContaining({ code: "BUS_INVALID_TOPIC" }));
  });
});
