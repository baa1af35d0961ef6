import { describe, expect, it } from "vitest";
import { envelope, message } from "../test/support/envelopes.ts";
import { BusError } from "./errors.ts";
import { decodeForeign, encodeForeign, type ForeignMessage } from "./foreign.ts";
import type { ForeignEvent, ForeignFormat } from "./options.ts";
import { ReceivedEvent } from "./received-event.ts";

const now = Date.UTC(2026, 0, 1);
const body = new TextEncoder().encode("whatever");
const format = (event: unknown): ForeignFormat => ({ name: "legacy", decode: () => event as ForeignEvent });
const decode = (event: unknown, more: Partial<ForeignMessage> = {}) =>
  decodeForeign(format(event), { ...message({ body }), ...more }, now);
const received = new ReceivedEvent(envelope(), { n: 1 });
const encode = (made: unknown) =>
  encodeForeign({ ...format({}), encode: () => made as { body: Uint8Array } }, received);

describe("decodeForeign", () => {
  it("takes what the format says", () => {
    const said = {
      data: { n: 1 },
      type: "orders.placed",
      id: "m-1",
      key: "o-1",
      source: "warehouse",
      time: new Date(5),
      correlationId: "c-1",
      session: "s-1",
      priority: "low",
      metadata: { tenant: 4 },
    } as const;
    expect(decode(said)).toEqual({ ...envelope(), ...said, time: 5 });
  });

  it("makes up the rest: id from the place, type from the topic, source from the format, time now", () => {
    expect(decode({ data: 7 }, { partition: "events/3", position: "1234", key: "k" })).toEqual({
      ...envelope({ data: 7, key: "k", source: "legacy", time: now }),
      id: "events/3@1234",
      type: "placed",
    });
    expect(decode({ data: 7 }, { position: "1234" }).id).toBe("orders.eu.placed@1234");
  });

  it("gives one message one id, and two messages two, without a place too", () => {
    const idOf = (more: Partial<ForeignMessage>): string => decode({ data: 1 }, more).id;
    const other = new TextEncoder().encode("other");
    expect(idOf({})).toMatch(/^sha256-[0-9a-f]{64}$/);
    expect(new Set([idOf({}), idOf({}), idOf({ body: other }), idOf({ topic: "x" })]).size).toBe(3);
    const long = "p".repeat(300);
    expect(idOf({ partition: long, position: "1" })).toMatch(/^sha256-/);
    expect(idOf({ partition: long, position: "1" })).not.toBe(idOf({ partition: long, position: "2" }));
  });

  it("keeps the id that was made when the message came first", () => {
    const copy = { partition: "=queue/3", position: "17", placeId: "events/3@1234" };
    expect(decode({ data: 1 }, copy).id).toBe("events/3@1234");
    expect(decode({ data: 1, id: "m-1" }, copy).id).toBe("m-1");
  });

  it("wraps what a format throws, and lets its own reason pass", () => {
    const throwing = (cause: unknown): ForeignFormat => ({
      name: "legacy",
      decode: () => {
        throw cause;
      },
    });
    const cause = new TypeError("x is not iterable");
    expect(() => decodeForeign(throwing(cause), message({ body }), now)).toThrow(
      expect.objectContaining({
        code: "BUS_UNDECODABLE",
        message: "undecodable message: it could not be read (format legacy)",
        cause,
      }),
    );
    const own = new BusError("BUS_UNDECODABLE", "undecodable message: not JSON");
    expect(() => decodeForeign(throwing(own), message({ body }), now)).toThrow(own);
  });

  it.each([
    [undefined, "nothing was read (format legacy)"],
    ["text", "nothing was read (format legacy)"],
    [{ data: 1, id: 7 }, "id: it must be a string, not a number (format legacy)"],
    [{ data: 1, id: "" }, "id: it is empty (format legacy)"],
    [{ data: 1, type: "x".repeat(256) }, "type: it is longer than 255 bytes (format legacy)"],
    [{ data: 1, key: "a\n" }, "key: U+000A at position 2: a control character (format legacy)"],
    [{ data: 1, priority: "urgent" }, "priority: it is none of ours (format legacy)"],
    [{ data: 1, metadata: [1] }, "metadata: it must be an object, not an array (format legacy)"],
    [{ data: 1, time: new Date(Number.NaN) }, "time: it must be a valid Date (format legacy)"],
    [{ data: 1, time: 5 }, "time: it must be a valid Date (format legacy)"],
  ])("refuses %o", (event, why) => {
    expect(() => decode(event)).toThrow(
      expect.objectContaining({ code: "BUS_UNDECODABLE", message: `undecodable message: ${why}` }),
    );
  });

  it("refuses a topic that is none", () => {
    expect(() => decode({ data: 1 }, { topic: "a b" })).toThrow('undecodable message: invalid topic "a b"');
  });
});

describe("encodeForeign", () => {
  it("gives body and headers", () => {
    const headers = { "event-type": "placed", "X-Trace": "a b" };
    expect(encode({ body, headers })).toEqual({
      body,
      headers: [
        ["event-type", "placed"],
        ["X-Trace", "a b"],
      ],
    });
    expect(encode({ body })).toEqual({ body, headers: [] });
  });

  it("refuses what is larger than the limit, headers included", () => {
    const writing: ForeignFormat = { ...format({}), encode: () => ({ body, headers: { kind: "x" } }) };
    const bytes = body.length + "kindx".length;
    expect(encodeForeign(writing, received, bytes).body).toBe(body);
    expect(() => encodeForeign(writing, received, bytes - 1)).toThrow(
      expect.objectContaining({ code: "BUS_TOO_LARGE" }),
    );
  });

  it("refuses a format that only reads", () => {
    expect(() => encodeForeign(format({}), received)).toThrow(expect.objectContaining({ code: "BUS_UNSUPPORTED" }));
  });

  it("wraps what a format throws", () => {
    const cause = new Error("boom");
    const failing: ForeignFormat = {
      ...format({}),
      encode: () => {
        throw cause;
      },
    };
    expect(() => encodeForeign(failing, received)).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_DATA",
        message: "can't write (format legacy, event orders.placed): it failed",
        cause,
      }),
    );
  });

  it.each([
    [{ body: "text" }, "its body is no Uint8Array"],
    [{ body, headers: { "a b": "x" } }, "header 1 has a name with characters that headers can't have"],
    [{ body, headers: { "": "x" } }, "header 1 has a name with characters that headers can't have"],
    [{ body, headers: { "a:": "x" } }, "header 1 has a name with characters that headers can't have"],
    [{ body, headers: { ü: "x" } }, "header 1 has a name with characters that headers can't have"],
    [{ body, headers: { a: "x\r\nb: y" } }, 'the header "a" has characters that headers can\'t have'],
    [{ body, headers: { a: "x\0" } }, 'the header "a" has characters that headers can\'t have'],
    [{ body, headers: { a: "ü" } }, 'the header "a" has characters that headers can\'t have'],
    [{ body, headers: { a: " x" } }, 'the header "a" has characters that headers can\'t have'],
    [{ body, headers: { a: 7 } }, 'the header "a" is no string'],
    [{ body, headers: { a: undefined } }, 'the header "a" is no string'],
    [{ body, headers: { a: "x", A: "y" } }, 'the header "A" is there twice'],
    [{ body, headers: { "Omnibus-Done": "x" } }, 'the header "Omnibus-Done" is the bus\'s own'],
    [
      { body, headers: Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`h${index}`, "x"])) },
      "101 headers, the limit is 100",
    ],
  ])("refuses %o", (made, why) => {
    expect(() => encode(made)).toThrow(
      expect.objectContaining({
        code: "BUS_INVALID_DATA",
        message: `can't write (format legacy, event orders.placed): ${why}`,
      }),
    );
  });
});
