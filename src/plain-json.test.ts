import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { envelope, fullEnvelope, message } from "../test/support/envelopes.ts";
import type { Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { decodeForeign, encodeForeign } from "./foreign.ts";
import { plainJson, type PlainJsonOptions } from "./plain-json.ts";
import { ReceivedEvent } from "./received-event.ts";

const read = (options: PlainJsonOptions, body: unknown, headers: Headers = []): Envelope =>
  decodeForeign(
    plainJson(options),
    message({ headers, body: typeof body === "string" ? body : JSON.stringify(body) }),
    42,
  );
const written = (options: PlainJsonOptions, from: Envelope): unknown => {
  const { headers, body } = encodeForeign(plainJson(options), new ReceivedEvent(from, from.data));
  expect(headers).toEqual([["content-type", "application/json"]]);
  return JSON.parse(new TextDecoder().decode(body));
};
const everywhere: PlainJsonOptions = {
  data: "payload",
  type: "event_type",
  id: "event_id",
  key: "order",
  source: "from",
  time: "at",
  correlationId: "chain",
  session: "session",
  priority: "priority",
  metadata: "meta",
};

describe("plainJson", () => {
  it("takes the whole body for the data unless told more (option: PlainJsonOptions.name)", () => {
    expect(read({}, { id: 7 })).toMatchObject({
      data: { id: 7 },
      type: "placed",
      source: "plain-json",
      time: 42,
      key: undefined,
    });
    expect(read({ name: "warehouse" }, [1])).toMatchObject({ data: [1], source: "warehouse" });
  });

  it("takes attributes from named fields (option: PlainJsonOptions.data, PlainJsonOptions.type, PlainJsonOptions.id, PlainJsonOptions.key, PlainJsonOptions.source, PlainJsonOptions.time, PlainJsonOptions.correlationId, PlainJsonOptions.session, PlainJsonOptions.priority, PlainJsonOptions.metadata)", () => {
    const body = {
      payload: { id: 7 },
      event_type: "orders.placed",
      event_id: 5_077,
      order: "o-1",
      from: "shop",
      at: "2026-01-05T12:30:15.250Z",
      chain: "c-1",
      session: "s-1",
      priority: "high",
      meta: { tenant: 4 },
    };
    expect(read(everywhere, body)).toEqual(
      envelope({
        data: { id: 7 },
        id: "5077",
        key: "o-1",
        correlationId: "c-1",
        session: "s-1",
        priority: "high",
        metadata: { tenant: 4 },
      }),
    );
  });

  it("takes attributes from functions of the whole", () => {
    interface Body {
      readonly head: { readonly kind: string; readonly seconds: number };
      readonly rows: readonly number[];
    }
    const format = plainJson<Body>({
      type: ({ head }) => `row.${head.kind}`,
      time: ({ head }) => head.seconds * 1_000,
      data: ({ rows }) => rows,
      key: () => undefined,
    });
    const from = message({ body: '{"head":{"kind":"new","seconds":7},"rows":[1,2]}' }, { key: "k" });
    expect(decodeForeign(format, from, 42)).toMatchObject({ type: "row.new", time: 7_000, data: [1, 2], key: "k" });
  });

  it("makes up what a field lacks", () => {
    expect(read(everywhere, { payload: null })).toMatchObject({
      data: null,
      type: "placed",
      time: 42,
      priority: "normal",
      metadata: undefined,
    });
    expect(read(everywhere, [])).toMatchObject({ data: null, type: "placed" });
    expect(read({ type: "constructor", id: "__proto__" }, {})).toMatchObject({ type: "placed" });
  });

  it("reads compressed bodies, up to its cap (option: PlainJsonOptions.maxDecompressedBytes)", () => {
    const headers: Headers = [["content-encoding", "gzip"]];
    const body = gzipSync('{"id":7}');
    const decode = (maxDecompressedBytes?: number) =>
      decodeForeign(plainJson({ maxDecompressedBytes }), message({ headers, body }), 42).data;
    expect(decode()).toEqual({ id: 7 });
    expect(() => decode(7)).toThrow("larger than 7 bytes when decompressed (gzip)");
  });

  it.each([
    ["", "it is empty"],
    ["{", "not JSON (position 1)"],
    ['{"__proto__":{}}', 'a key "__proto__"'],
    ['{"event_type":true}', "type: it must be a string, not a boolean"],
    ['{"at":"2026-01-05T12:30:15"}', "the time is not RFC 3339 with a zone"],
    ['{"priority":"urgent"}', "priority: it is none of ours (format plain-json)"],
    ['{"meta":7}', "metadata: it must be an object, not a number (format plain-json)"],
  ])("refuses %s", (body, why) => {
    expect(() => read(everywhere, body)).toThrow(
      expect.objectContaining({ code: "BUS_UNDECODABLE", message: `undecodable message: ${why}` }),
    );
  });

  it("writes what it would read", () => {
    const from = { ...fullEnvelope, version: 1, maxAttempts: undefined, causationId: undefined };
    const body = written(everywhere, from);
    expect(body).toEqual({
      payload: { orderId: "o-1", total: 12.5 },
      event_type: "orders.placed",
      event_id: from.id,
      order: "o-1",
      from: "shop",
      at: "2026-01-05T12:30:15.250Z",
      chain: from.correlationId,
      session: "s-9",
      priority: "high",
      meta: { tenant: 4, path: ["ä", 'b"c'] },
    });
    expect(read(everywhere, body)).toEqual(from);
  });

  it("writes attributes beside the data's own fields, which stay, and leaves functions out", () => {
    const options: PlainJsonOptions = { type: "kind", id: "orderId", key: () => "x" };
    expect(written(options, envelope())).toEqual({ orderId: "o-1", total: 12.5, kind: "orders.placed" });
    expect(written(options, envelope({ data: [1] }))).toEqual([1]);
    expect(written({}, envelope({ data: null }))).toBeNull();
  });

  it("refuses to write what JSON can't hold", () => {
    expect(() => written({ type: "kind" }, envelope({ data: new Date() }))).toThrow(
      "invalid data (orders.placed): a Date",
    );
    expect(() => written({ data: "d" }, envelope({ data: { n: 1n } }))).toThrow(
      "invalid data (orders.placed): d.n: a bigint",
    );
  });

  it("refuses options that it does not know", () => {
    expect(() => plainJson({ typ: "x" } as PlainJsonOptions)).toThrow(
      'plainJson has no option "typ"; did you mean "type"?',
    );
    expect(() => plainJson({ id: 7 as unknown as string })).toThrow(
      expect.objectContaining({ code: "BUS_INVALID_OPTION" }),
    );
    expect(() => plainJson({ maxDecompressedBytes: 0 })).toThrow(
      expect.objectContaining({ code: "BUS_INVALID_OPTION" }),
    );
  });
});
