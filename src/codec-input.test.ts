import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { binary, envelope, message, structured } from "../test/support/envelopes.ts";
import { decodeEnvelope, type EncodedMessage, encodeEnvelope } from "./codec.ts";
import type { Headers } from "./driver.ts";
import type { Envelope } from "./envelope.ts";
import { BusError } from "./errors.ts";

const limits = { maxDecompressedBytes: 1_048_576 };
const event = { specversion: "1.0", id: "7", source: "/elsewhere", type: "com.example.placed", data: { n: 1 } };
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const read = (changed: object, more?: Partial<EncodedMessage>): Envelope =>
  decodeEnvelope(message({ body: json({ ...event, ...changed }) }, more), limits);

function refusal(run: () => unknown): string {
  try {
    return `accepted ${JSON.stringify(run())}`;
  } catch (error) {
    return error instanceof BusError && error.code === "BUS_UNDECODABLE"
      ? error.message.replace("undecodable message: ", "")
      : `not ours: ${String(error)}`;
  }
}
const refused = (changed: object): string => refusal(() => read(changed));
const ofBody = (body: Uint8Array | string, headers: Headers = []): string =>
  refusal(() => decodeEnvelope(message({ headers, body }), limits));

describe("decodeEnvelope of a foreign CloudEvent", () => {
  it("fills in what it does not say", () => {
    expect(read({ id: "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b" })).toEqual({
      ...envelope(),
      id: "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
      source: "/elsewhere",
      type: "com.example.placed",
      time: 0x0193a1b2c3d4,
      data: { n: 1 },
    });
    expect(read({}).time).toBe(0);
    expect(decodeEnvelope(message({ body: json(event) }), { ...limits, now: 42 }).time).toBe(42);
    expect(read({ data: undefined }).data).toBeNull();
  });

  it("takes the topic from the broker, else from the subject", () => {
    expect(read({ subject: "orders.eu.placed" })).toMatchObject({ topic: "orders.eu.placed", metadata: undefined });
    expect(read({ subject: "blob/7" })).toMatchObject({ topic: "orders.eu.placed", metadata: { subject: "blob/7" } });
    expect(read({ subject: "a.b" }, { topic: "" })).toMatchObject({ topic: "a.b", metadata: undefined });
    expect(refusal(() => read({}, { topic: "" }))).toBe('the attribute "subject" is missing');
    expect(refusal(() => read({ subject: "a b" }, { topic: "" }))).toContain('invalid topic "a b"');
    expect(refusal(() => read({}, { topic: "a b" }))).toContain('invalid topic "a b"');
  });

  it("takes the key from the broker when the event names none", () => {
    expect(read({}, { key: "k" }).key).toBe("k");
    expect(read({ partitionkey: "p" }, { key: "k" }).key).toBe("p");
    expect(refusal(() => read({}, { key: "k".repeat(256) }))).toBe(
      'the attribute "partitionkey": it is longer than 255 bytes',
    );
  });

  it("keeps extensions that it does not know in the metadata, below our own", () => {
    const changed = { tenant: "t", shard: 7, beta: true, gone: null, odd: {}, busmetadata: '{"tenant":"own"}' };
    expect(read(changed).metadata).toEqual({ tenant: "own", shard: 7, beta: true });
    expect(read({ datacontenttype: "application/json" }).metadata).toBeUndefined();
    expect(read({ datacontenttype: "text/xml", data: "<a/>" })).toMatchObject({
      data: "<a/>",
      metadata: { datacontenttype: "text/xml" },
    });
    expect(read({ dataschema: "https://x.example/s" }).metadata).toEqual({ dataschema: "https://x.example/s" });
    expect(refused(Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x${index}`, 1])))).toBe(
      "more than 100 extension attributes",
    );
  });

  it("keeps a trace context that is one and drops garbage", () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(read({ traceparent, tracestate: "a=1" }).metadata).toEqual({ traceparent, tracestate: "a=1" });
    expect(read({ traceparent: "garbage", tracestate: "x".repeat(10_240) }).metadata).toBeUndefined();
  });

  it("treats a priority that is none of ours as normal, and keeps it", () => {
    expect(read({ priority: "high" })).toMatchObject({ priority: "high", metadata: undefined });
    expect(read({ priority: 3 })).toMatchObject({ priority: "normal", metadata: { priority: 3 } });
  });

  it("reads bytes, and JSON that came as base64", () => {
    const data_base64 = Buffer.from('{"a":1}').toString("base64");
    expect(read({ data: undefined, data_base64 }).data).toEqual(new Uint8Array(Buffer.from('{"a":1}')));
    expect(read({ data: undefined, data_base64, datacontenttype: "application/json" }).data).toEqual({ a: 1 });
    expect(Object.getPrototypeOf(read({ data: undefined, data_base64 }).data)).toBe(Uint8Array.prototype);
  });

  it("takes times with a zone only", () => {
    expect(read({ time: "2026-01-05T12:30:15+02:00" }).time).toBe(Date.UTC(2026, 0, 5, 10, 30, 15));
    expect(read({ time: "2026-01-05T12:30:15.123456789Z" }).time).toBe(Date.UTC(2026, 0, 5, 12, 30, 15, 123));
    for (const time of [
      "2026-01-05T12:30:15",
      "2026-01-05",
      "yesterday",
      1_700_000_000,
      "2026-13-05T12:30:15Z",
      "",
      {},
    ])
      expect(refused({ time })).toBe("the time is not RFC 3339 with a zone");
    expect(read({ time: "2026-01-05T12:30:15Z" }).time).toBe(Date.UTC(2026, 0, 5, 12, 30, 15));
  });

  it.each([
    [{ id: undefined }, 'the attribute "id" is missing'],
    [{ id: "" }, 'the attribute "id": it is empty'],
    [{ id: 7 }, 'the attribute "id": it must be a string, not a number'],
    [{ id: "x".repeat(256) }, 'the attribute "id": it is longer than 255 bytes'],
    [{ id: "a\nb" }, 'the attribute "id": U+000A at position 2: a control character'],
    [{ type: undefined }, 'the attribute "type" is missing'],
    [{ source: null }, 'the attribute "source" is missing'],
    [{ partitionkey: { a: 1 } }, 'the attribute "partitionkey": it must be a string, not an object'],
    [{ correlationid: "x".repeat(1_000_000) }, 'the attribute "correlationid": it is longer than 255 bytes'],
    [{ causationid: ["a"] }, 'the attribute "causationid": it must be a string, not an array'],
    [{ sessionid: "\u0000" }, 'the attribute "sessionid": U+0000 at position 1: a control character'],
    [{ dataversion: "2" }, 'the attribute "dataversion" must be a whole number from 1 to 2147483647'],
    [{ dataversion: -1 }, 'the attribute "dataversion" must be a whole number from 1 to 2147483647'],
    [{ dataversion: 2 ** 53 }, 'the attribute "dataversion" must be a whole number from 1 to 2147483647'],
    [{ dataversion: 1.5 }, 'the attribute "dataversion" must be a whole number from 1 to 2147483647'],
    [{ maxattempts: 0 }, 'the attribute "maxattempts" must be a whole number from 1 to 2147483647'],
    [{ maxattempts: 1e300 }, 'the attribute "maxattempts" must be a whole number from 1 to 2147483647'],
    [{ busmetadata: { a: 1 } }, 'the attribute "busmetadata" must be JSON of at most 16384 bytes'],
    [
      { busmetadata: JSON.stringify("x".repeat(16_384)) },
      'the attribute "busmetadata" must be JSON of at most 16384 bytes',
    ],
    [{ busmetadata: "[1]" }, 'the attribute "busmetadata" must be a JSON object'],
    [{ busmetadata: "{" }, "not JSON (position 1)"],
    [{ busmetadata: '{"__proto__":{"admin":true}}' }, 'a key "__proto__"'],
    [{ data_base64: "AAA=" }, 'both "data" and "data_base64"'],
    [{ data: undefined, data_base64: "no base64!" }, '"data_base64" is not base64'],
    [{ data: undefined, data_base64: 7 }, '"data_base64" is not base64'],
    [{ specversion: "0.3" }, "a CloudEvent of another version than 1.0"],
    [{ specversion: "2.0" }, "a CloudEvent of another version than 1.0"],
    [{ specversion: 1 }, "a CloudEvent of another version than 1.0"],
    [{ specversion: undefined }, "no CloudEvent: it has no specversion"],
  ])("refuses %o", (changed, why) => {
    expect(refused(changed)).toBe(why);
  });

  it("never lets what came in name a prototype", () => {
    const text = JSON.stringify(event);
    expect(ofBody(text.replace('"data":', '"__proto__":{"admin":true},"data":'))).toBe('a key "__proto__"');
    expect(ofBody(text.replace('{"n":1}', '{"constructor":{"prototype":{}}}'))).toBe(
      'a key "prototype" in "constructor"',
    );
    expect(read({ constructor: "x", tostring: "y" }).metadata).toEqual({ constructor: "x", tostring: "y" });
  });
});

describe("decodeEnvelope of anything", () => {
  it.each([
    ["", "it is empty"],
    ["secret", "not JSON"],
    ['"x"', "no CloudEvent: it has no specversion"],
    ["null", "no CloudEvent: it has no specversion"],
    ["[]", "no CloudEvent: it has no specversion"],
    ["{}", "no CloudEvent: it has no specversion"],
    ['{"id":"7"}', "no CloudEvent: it has no specversion"],
    [`${"[".repeat(200_000)}${"]".repeat(200_000)}`, "nested deeper than 64"],
    [`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`, "nested deeper than 64"],
  ])("refuses %.20s", (body, why) => {
    expect(ofBody(body)).toBe(why);
  });

  it("refuses a body above the limit before it reads it, and a bomb before it has unpacked it", () => {
    expect(ofBody("x".repeat(1_048_577))).toBe("larger than 1048576 bytes");
    const bomb = gzipSync(new Uint8Array(64 * 1_048_576));
    expect(ofBody(bomb, [["content-encoding", "gzip"]])).toBe("larger than 1048576 bytes when decompressed (gzip)");
    expect(ofBody(json(event), [["content-encoding", "rot13"]])).toBe("unknown content encoding");
    expect(ofBody(json(event), [["content-encoding", "gzip"]])).toBe("damaged or cut off (gzip)");
    expect(ofBody(gzipSync(json(event)))).toMatch(/UTF-8|not JSON/);
  });

  it("throws BUS_UNDECODABLE or gives an envelope, whatever one byte or header becomes", () => {
    const headers = fc.array(
      fc.tuple(
        fc.constantFrom("content-type", "content-encoding", "ce-specversion", "ce-id", "ce-time", "ce-busmetadata"),
        fc.oneof(fc.string(), fc.constantFrom("1.0", "application/json", "gzip", "{}")),
      ),
      { maxLength: 4 },
    );
    const { body } = encodeEnvelope(envelope(), structured);
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.nat(255), headers, (at, byte, given) => {
        const damaged = Uint8Array.from(body);
        damaged[at] = byte;
        expect(ofBody(damaged, given)).not.toContain("not ours");
      }),
      { numRuns: 3_000 },
    );
  });
});

describe("decodeEnvelope in binary mode", () => {
  const base: Headers = [
    ["ce-specversion", "1.0"],
    ["ce-id", "7"],
    ["ce-source", "/x"],
    ["ce-type", "t"],
  ];
  const decode = (headers: Headers, body: Uint8Array | string = "{}", more?: Partial<EncodedMessage>): Envelope =>
    decodeEnvelope(message({ headers, body }, more), limits);

  it.each(["ce-", "ce_", "cloudEvents:", "cloudEvents_"])("reads headers with the prefix %s", (prefix) => {
    const headers = [...base, ["ce-tenant", "a%20b"] as const].map(
      ([name, value]) => [name.replace("ce-", prefix), value] as const,
    );
    expect(decode(headers, '{"a":1}')).toMatchObject({
      id: "7",
      type: "t",
      source: "/x",
      data: { a: 1 },
      metadata: { tenant: "a b" },
    });
  });

  it("goes by the headers even when the data is a CloudEvent itself, if its type is given", () => {
    const headers: Headers = [["content-type", "application/json"], ...base];
    expect(decode(headers, json(event)).data).toEqual(event);
    expect(decode([["content-type", "application/cloudevents+json; charset=utf-8"], ...base], json(event)).id).toBe(
      "7",
    );
  });

  it("reads text as text and other types as bytes", () => {
    const typed = (type: string, body: string): Envelope => decode([["content-type", type], ...base], body);
    expect(typed("text/plain", "größe").data).toBe("größe");
    expect(typed("application/vnd.x+json; charset=UTF-8", "[1]").data).toEqual([1]);
    expect(typed("image/png", "x")).toMatchObject({
      data: Uint8Array.of(120),
      metadata: { datacontenttype: "image/png" },
    });
    expect(decode(base, "").data).toBeNull();
    expect(refusal(() => typed("text/plain; charset=latin1", "x"))).toBe("a charset that is not UTF-8");
    expect(refusal(() => typed("application/json", "<a/>"))).toBe("not JSON");
  });

  it("leaves a percent sign that is no escape as it is", () => {
    expect(decode([...base, ["ce-partitionkey", "100%"]]).key).toBe("100%");
  });

  it.each([
    [[["ce-specversion", "0.3"], ...base.slice(1)], "a CloudEvent of another version than 1.0"],
    [base.slice(0, 1), 'the attribute "id" is missing'],
    [[...base, ["ce-dataversion", "two"]], 'the attribute "dataversion" must be a whole number from 1 to 2147483647'],
    [
      [...base, ["ce-partitionkey", "a%0Ab"]],
      'the attribute "partitionkey": U+000A at position 2: a control character',
    ],
  ] as const)("refuses %o", (headers, why) => {
    expect(refusal(() => decode(headers as unknown as Headers))).toBe(why);
  });

  it("refuses batches and other formats than JSON", () => {
    for (const format of [
      "application/cloudevents-batch+json",
      "application/cloudevents+avro",
      "application/cloudevents+protobuf",
    ])
      expect(ofBody("[]", [["content-type", format]])).toBe("a CloudEvent in another format than JSON, or a batch");
  });

  it("reads its own without being told all headers", () => {
    const from = envelope({ key: "k", metadata: { a: 1 } });
    const all = message(encodeEnvelope(from, binary));
    expect(decodeEnvelope({ topic: all.topic, body: all.body, header: (name) => all.header(name) }, limits)).toEqual(
      from,
    );
  });
});
