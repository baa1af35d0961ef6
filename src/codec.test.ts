import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyEnvelope, binary, envelope, fullEnvelope, message, structured } from "../test/support/envelopes.ts";
import { decodeEnvelope, encodeEnvelope, type EncodeOptions } from "./codec.ts";
import type { Envelope } from "./envelope.ts";
import { ValidationError } from "./errors.ts";

const limits = { maxDecompressedBytes: 16 * 1_048_576 };
const roundTrip = (from: Envelope, options: EncodeOptions): Envelope =>
  decodeEnvelope(message(encodeEnvelope(from, options)), limits);
const text = (body: Uint8Array): string => new TextDecoder().decode(body);
const compressed = (options: EncodeOptions, encoding: "gzip" | "zstd" | "br", thresholdBytes = 0): EncodeOptions => ({
  ...options,
  compression: { encoding, thresholdBytes },
});
const everyWay: readonly (readonly [string, EncodeOptions])[] = [
  ["structured", structured],
  ["binary", binary],
  ["structured, gzip", compressed(structured, "gzip")],
  ["binary, zstd", compressed(binary, "zstd")],
  ["structured, br", compressed(structured, "br")],
];

describe("encodeEnvelope", () => {
  it.each(everyWay)("is undone by decodeEnvelope: %s", (_, options) => {
    fc.assert(
      fc.property(anyEnvelope, (from) => {
        expect(roundTrip(from, options)).toStrictEqual(from);
      }),
      { numRuns: 300 },
    );
  });

  it("writes a structured event without headers and without what is as it is by default", () => {
    const { headers, body } = encodeEnvelope(envelope(), structured);
    expect(headers).toEqual([]);
    expect(text(body)).toBe(
      '{"specversion":"1.0","id":"0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b","source":"shop","type":"orders.placed",' +
        '"subject":"orders.eu.placed","time":"2026-01-05T12:30:15.250Z","data":{"orderId":"o-1","total":12.5}}',
    );
  });

  it("writes a structured event with everything", () => {
    expect(text(encodeEnvelope(fullEnvelope, structured).body)).toBe(
      '{"specversion":"1.0","id":"0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b","source":"shop","type":"orders.placed",' +
        '"subject":"orders.eu.placed","time":"2026-01-05T12:30:15.250Z","dataversion":3,"partitionkey":"o-1","sessionid":"s-9",' +
        '"correlationid":"0193a1b2-0000-7000-8000-000000000001","causationid":"0193a1b2-0000-7000-8000-000000000002",' +
        '"priority":"high","maxattempts":7,"busmetadata":"{\\"tenant\\":4,\\"path\\":[\\"ä\\",\\"b\\\\\\"c\\"]}",' +
        '"data":{"orderId":"o-1","total":12.5}}',
    );
  });

  it("writes bytes as base64 in a structured event", () => {
    const { body } = encodeEnvelope(envelope({ data: Uint8Array.of(0, 1, 254, 255) }), structured);
    expect(text(body)).toContain(',"datacontenttype":"application/octet-stream","data_base64":"AAH+/w=="}');
  });

  it("writes a binary event as headers and data", () => {
    const { headers, body } = encodeEnvelope({ ...fullEnvelope, key: 'ö "7" 100%' }, binary);
    expect(headers).toEqual([
      ["content-type", "application/json"],
      ["ce-specversion", "1.0"],
      ["ce-id", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"],
      ["ce-source", "shop"],
      ["ce-type", "orders.placed"],
      ["ce-subject", "orders.eu.placed"],
      ["ce-time", "2026-01-05T12:30:15.250Z"],
      ["ce-dataversion", "3"],
      ["ce-partitionkey", "%C3%B6%20%227%22%20100%25"],
      ["ce-sessionid", "s-9"],
      ["ce-correlationid", "0193a1b2-0000-7000-8000-000000000001"],
      ["ce-causationid", "0193a1b2-0000-7000-8000-000000000002"],
      ["ce-priority", "high"],
      ["ce-maxattempts", "7"],
      ["ce-busmetadata", "{%22tenant%22:4,%22path%22:[%22%C3%A4%22,%22b\\%22c%22]}"],
    ]);
    expect(text(body)).toBe('{"orderId":"o-1","total":12.5}');
    expect(encodeEnvelope(envelope({ data: Uint8Array.of(7) }), binary)).toMatchObject({
      headers: [["content-type", "application/octet-stream"], ...headers.slice(1, 7)],
      body: Buffer.of(7),
    });
  });

  it("compresses from the threshold on, and says how (option: CompressionOptions.encoding, CompressionOptions.thresholdBytes)", () => {
    const large = envelope({ data: "x".repeat(2_000) });
    const { length } = encodeEnvelope(large, structured).body;
    expect(encodeEnvelope(large, compressed(structured, "gzip", length + 1)).headers).toEqual([]);
    const squeezed = encodeEnvelope(large, compressed(structured, "gzip", length));
    expect(squeezed.headers).toEqual([
      ["content-type", "application/cloudevents+json"],
      ["content-encoding", "gzip"],
    ]);
    expect(squeezed.body.length).toBeLessThan(400);
    const headers = encodeEnvelope(large, compressed(binary, "br", 0)).headers;
    expect(headers.filter(([name]) => name.startsWith("content-"))).toEqual([
      ["content-type", "application/json"],
      ["content-encoding", "br"],
    ]);
  });

  it("refuses what is larger than the limit, to the byte, headers included", () => {
    for (const options of [structured, binary]) {
      const { headers, body } = encodeEnvelope(envelope(), options);
      const bytes = body.length + headers.flat().join("").length;
      expect(encodeEnvelope(envelope(), { ...options, maxMessageBytes: bytes }).body).toHaveLength(body.length);
      expect(() => encodeEnvelope(envelope(), { ...options, maxMessageBytes: bytes - 1 })).toThrow(
        expect.objectContaining({ code: "BUS_TOO_LARGE" }),
      );
    }
  });

  it("refuses large data before it has written all of it", () => {
    const options = { ...structured, maxMessageBytes: 100_000 };
    const shared = Array.from({ length: 1_000 }, () => "x".repeat(1_000));
    const bomb = Array.from({ length: 1_000 }, () => Array.from({ length: 1_000 }, () => shared)); // a terabyte
    for (const data of [bomb, "x".repeat(200_000), "é".repeat(60_000), new Uint8Array(200_000)])
      expect(() => encodeEnvelope(envelope({ data }), options)).toThrow(
        expect.objectContaining({ code: "BUS_TOO_LARGE" }),
      );
  });

  it("measures what is sent when it compresses", () => {
    const data = "x".repeat(500_000);
    const options = { ...compressed(structured, "gzip"), maxMessageBytes: 100_000 };
    expect(roundTrip(envelope({ data }), options).data).toBe(data);
    expect(() => encodeEnvelope(envelope({ data: "x".repeat(1_600_001) }), options)).toThrow("too large");
  });

  it("refuses headers of more than 16 KiB, and metadata that would make them", () => {
    const metadata = { note: "é".repeat(8_000) };
    expect(roundTrip(envelope({ metadata }), structured).metadata).toEqual(metadata);
    expect(() => encodeEnvelope(envelope({ metadata }), binary)).toThrow(
      /too large \(orders\.placed\): \d+ bytes of headers, the limit is 16384/,
    );
    expect(() => encodeEnvelope(envelope({ metadata: { note: "x".repeat(16_400) } }), structured)).toThrow(
      "too large metadata (orders.placed): more than 16384 bytes of JSON",
    );
  });

  it("names the field of data or metadata that the wire can't carry", () => {
    expect(() => encodeEnvelope(envelope({ data: { lines: [{ at: new Date() }] } }), structured)).toThrow(
      expect.objectContaining({
        message:
          "invalid data (orders.placed): lines[0].at: a Date; publish its toISOString(), and let the schema turn it back",
      }),
    );
    expect(() => encodeEnvelope(envelope({ metadata: { n: 1n } }), binary)).toThrow(
      "invalid metadata (orders.placed): n: a bigint",
    );
    expect(() => encodeEnvelope(envelope({ data: undefined }), structured)).toThrow(ValidationError);
    expect(() => encodeEnvelope(envelope({ time: Date.UTC(10_000) }), structured)).toThrow("invalid time");
  });

  it("shares no memory with the data, and takes every kind of bytes", () => {
    for (const options of [structured, binary]) {
      const data = Uint8Array.of(1, 2, 3);
      const encoded = encodeEnvelope(envelope({ data }), options);
      data.fill(9);
      expect(decodeEnvelope(message(encoded), limits).data).toEqual(Uint8Array.of(1, 2, 3));
      const kinds = [Buffer.from([1, 2]), Uint8Array.of(1, 2).buffer, Uint8Array.of(0, 1, 2).subarray(1)];
      for (const each of kinds) expect(roundTrip(envelope({ data: each }), options).data).toEqual(Uint8Array.of(1, 2));
    }
  });

  it("carries null, empty strings, lists and empty bytes as data", () => {
    for (const options of [structured, binary])
      for (const data of [null, "", 0, false, [], {}, new Uint8Array()])
        expect(roundTrip(envelope({ data }), options).data).toEqual(data);
  });

  it("carries data that nests as deep as it may", () => {
    const data = JSON.parse("[".repeat(64) + "]".repeat(64)) as unknown;
    for (const options of [structured, binary]) expect(roundTrip(envelope({ data }), options).data).toEqual(data);
    expect(() => encodeEnvelope(envelope({ data: [data] }), structured)).toThrow("nested deeper than 64");
  });
});
