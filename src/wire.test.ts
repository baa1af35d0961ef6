import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineEvent } from "./define-event.ts";
import { timeOf } from "./internal/uuid.ts";
import {
  decodeEvent,
  type DecodeEventOptions,
  encodeEvent,
  type EncodeEventOptions,
  SchemaRegistry,
  type WireEvent,
} from "./wire.ts";

const at = z.string().transform((text) => new Date(text));
const Placed = defineEvent("orders.placed", {
  schema: z.object({ orderId: z.string(), at }),
  version: 2,
  upcast: { 1: (old: { readonly order: string; readonly at: string }) => ({ orderId: old.order, at: old.at }) },
});
const registry = new SchemaRegistry([Placed]);
const data = { orderId: "o-1", at: "2026-01-05T12:30:15.250Z" };
const placed: WireEvent = { topic: "orders.eu.placed", type: "orders.placed", version: 2, data };

describe("encodeEvent and decodeEvent", () => {
  it("undo each other, transforms applied, in either mode (option: EncodeEventOptions.mode)", async () => {
    const everything = {
      ...placed,
      id: "m-1",
      source: "shop",
      time: new Date(5),
      key: "o-1",
      session: "s-1",
      correlationId: "c-1",
      causationId: "c-0",
      priority: "high",
      metadata: { tenant: 4 },
    } as const;
    const ways: readonly EncodeEventOptions[] = [
      {},
      { mode: "binary" },
      { compression: { encoding: "gzip", thresholdBytes: 0 } },
    ];
    expect(encodeEvent(everything, { mode: "binary" }).headers).toMatchObject({ "ce-type": "orders.placed" });
    for (const options of ways) {
      const event = await decodeEvent(encodeEvent(everything, options), { registry });
      expect(event).toMatchObject({ ...everything, data: { orderId: "o-1", at: new Date(data.at) } });
    }
  });

  it("fill in id, type, source and time", async () => {
    const before = Date.now();
    const { headers, body } = encodeEvent({ topic: "orders.eu.placed", data: 7 });
    const event = await decodeEvent({ headers, body });
    expect(event).toMatchObject({
      type: "placed",
      topic: "orders.eu.placed",
      source: "omnibus",
      version: 1,
      priority: "normal",
      data: 7,
    });
    expect(event.time.getTime()).toBeGreaterThanOrEqual(before);
    expect(timeOf(event.id)).toBeGreaterThanOrEqual(before);
    expect(headers).toEqual({});
  });

  it("read a received event's own encoding again", async () => {
    const once = await decodeEvent(encodeEvent(placed));
    expect((await decodeEvent(encodeEvent(once))).toString()).toBe(once.toString());
  });

  it("compress from a threshold of 1 KiB unless another is given (option: EncodeEventOptions.compression)", () => {
    const compression = { encoding: "gzip" } as const;
    expect(encodeEvent(placed, { compression }).headers).toEqual({});
    const larger = { ...placed, data: "x".repeat(1_024) };
    expect(encodeEvent(larger, { compression }).headers).toMatchObject({ "content-encoding": "gzip" });
  });

  it("refuse what is too large on either side (option: EncodeEventOptions.maxMessageBytes, DecodeEventOptions.maxDecompressedBytes)", async () => {
    expect(() => encodeEvent({ ...placed, data: "x".repeat(1_048_576) })).toThrow(
      expect.objectContaining({ code: "BUS_TOO_LARGE" }),
    );
    expect(() => encodeEvent(placed, { maxMessageBytes: 10 })).toThrow(
      expect.objectContaining({ code: "BUS_TOO_LARGE" }),
    );
    const encoded = encodeEvent(placed);
    await expect(decodeEvent(encoded, { maxDecompressedBytes: 10 })).rejects.toMatchObject({ code: "BUS_UNDECODABLE" });
    const headers = { "content-encoding": "gzip" };
    await expect(decodeEvent({ ...encoded, headers })).rejects.toThrow("damaged or cut off (gzip)");
  });

  it("lift older versions and validate (option: DecodeEventOptions.registry)", async () => {
    const older = encodeEvent({ ...placed, version: 1, data: { order: "o-1", at: data.at } });
    expect(await decodeEvent(older, { registry })).toMatchObject({
      version: 2,
      data: { orderId: "o-1", at: new Date(data.at) },
    });
    const wrong = encodeEvent({ ...placed, data: { orderId: 7 } });
    await expect(decodeEvent(wrong, { registry })).rejects.toThrow(
      /^invalid data \(orders\.placed\): orderId: .*; at: /,
    );
    expect((await decodeEvent(wrong)).data).toEqual({ orderId: 7 });
  });

  it("tell bad bytes, a missing type, an unknown type and an unknown version apart", async () => {
    const decode = (body: string, options: DecodeEventOptions = { registry }) =>
      decodeEvent({ topic: "a", body: new TextEncoder().encode(body) }, options);
    const bad = { code: "BUS_UNDECODABLE" };
    await expect(decode("{")).rejects.toMatchObject({ ...bad, message: "undecodable message: not JSON (position 1)" });
    const missing = '{"specversion":"1.0","id":"1","source":"x"}';
    await expect(decode(missing)).rejects.toMatchObject({
      ...bad,
      message: 'undecodable message: the attribute "type" is missing',
    });
    const unknown = { ...placed, type: "orders.gone" };
    await expect(decodeEvent(encodeEvent(unknown), { registry })).rejects.toMatchObject({
      code: "BUS_INVALID_DATA",
      message: "unknown type (orders.gone version 2): it is not in the registry",
    });
    await expect(decodeEvent(encodeEvent({ ...placed, version: 3 }), { registry })).rejects.toMatchObject({
      code: "BUS_INVALID_DATA",
      message: "unknown version (orders.placed version 3): the registry knows 2 at most",
    });
  });

  it.each([
    [{ topic: "a b" }, "BUS_INVALID_TOPIC"],
    [{ topic: undefined }, "BUS_INVALID_TOPIC"],
    [{ id: "" }, "BUS_INVALID_OPTION"],
    [{ type: 7 }, "BUS_INVALID_OPTION"],
    [{ key: "a\n" }, "BUS_INVALID_OPTION"],
    [{ session: null }, "BUS_INVALID_OPTION"],
    [{ source: "my shop" }, "BUS_INVALID_OPTION"],
    [{ correlationId: "x".repeat(256) }, "BUS_INVALID_OPTION"],
    [{ causationId: {} }, "BUS_INVALID_OPTION"],
    [{ version: 0 }, "BUS_INVALID_OPTION"],
    [{ time: new Date(Number.NaN) }, "BUS_INVALID_OPTION"],
    [{ priority: "urgent" }, "BUS_INVALID_OPTION"],
    [{ metadata: [1] }, "BUS_INVALID_OPTION"],
    [{ metadata: { n: 1n } }, "BUS_INVALID_DATA"],
    [{ data: undefined }, "BUS_INVALID_DATA"],
  ])("refuse to write %o", (changed, code) => {
    expect(() => encodeEvent({ ...placed, ...changed } as WireEvent)).toThrow(expect.objectContaining({ code }));
  });

  it("refuse options that they do not know", async () => {
    expect(() => encodeEvent(placed, { mod: "binary" } as EncodeEventOptions)).toThrow(
      'encodeEvent has no option "mod"; did you mean "mode"?',
    );
    expect(() => encodeEvent(placed, { compression: { encoding: "lz4" } } as unknown as EncodeEventOptions)).toThrow(
      "compression",
    );
    await expect(decodeEvent(encodeEvent(placed), { schemas: registry } as DecodeEventOptions)).rejects.toThrow(
      'decodeEvent has no option "schemas"',
    );
  });

  it("take headers in any case and by any binding", async () => {
    const { headers, body } = encodeEvent({ ...placed, metadata: { a: 1 } }, { mode: "binary" });
    for (const prefix of ["CE-", "ce_", "cloudEvents:", "cloudEvents_"]) {
      const renamed = Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.replace("ce-", prefix), value]),
      );
      const event = await decodeEvent({
        headers: { ...renamed, [`${prefix}tenant`]: "t", "x-other": undefined },
        body,
      });
      expect(event).toMatchObject({ type: "orders.placed", version: 2, metadata: { a: 1, tenant: "t" } });
    }
  });

  it("take the topic from the caller, else from the message", async () => {
    const encoded = encodeEvent(placed);
    expect((await decodeEvent({ ...encoded, topic: "copied.here" })).topic).toBe("copied.here");
    expect((await decodeEvent({ ...encoded, key: "k" })).key).toBe("k");
  });
});

describe("the body of a message", () => {
  it("can't be moved to another thread together with what lies beside it", () => {
    const events = [1, 2, 3].map((total) => encodeEvent({ topic: "orders", data: { total } }));
    const before = events.map(({ body }) => Buffer.from(body).toString());
    const { buffer } = events[1]!.body;
    expect(() => structuredClone(events[1], { transfer: [buffer as ArrayBuffer] })).toThrow("Cannot transfer");
    expect(events.map(({ body }) => Buffer.from(body).toString())).toEqual(before);
    encodeEvent({ topic: "orders", data: {} });
  });
});
