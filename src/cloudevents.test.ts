import { CloudEvent, HTTP } from "cloudevents";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyEnvelope, binary, envelope, fullEnvelope, message, structured } from "../test/support/envelopes.ts";
import { decodeEnvelope, encodeEnvelope, type EncodeOptions } from "./codec.ts";
import type { Envelope } from "./envelope.ts";

const limits = { maxDecompressedBytes: 1_048_576 };

/** What the SDK of the CloudEvents project reads; it throws at what breaks the specification. */
function bySdk(from: Envelope, options: EncodeOptions): CloudEvent<unknown> {
  const { headers, body } = encodeEnvelope(from, options);
  const given = headers.length === 0 ? { "content-type": "application/cloudevents+json" } : Object.fromEntries(headers);
  const event = HTTP.toEvent({ headers: given, body: new TextDecoder().decode(body) }) as CloudEvent<unknown>;
  event.validate();
  return event;
}

const sent = new CloudEvent<unknown>({
  id: "7",
  source: "https://shop.example/eu",
  type: "com.example.placed",
  subject: "orders.eu.placed",
  time: "2026-01-05T12:30:15.250Z",
  datacontenttype: "application/json",
  partitionkey: "o-1",
  dataversion: 2,
  tenant: "t-1",
  data: { orderId: "o-1", total: 12.5 },
});
const expected = {
  ...envelope(),
  id: "7",
  source: "https://shop.example/eu",
  type: "com.example.placed",
  key: "o-1",
  version: 2,
  metadata: { tenant: "t-1" },
};

describe("the CloudEvents SDK", () => {
  it.each([
    ["structured", structured],
    ["binary", binary],
  ] as const)("reads what we write: %s", (_, options) => {
    expect(bySdk({ ...fullEnvelope, metadata: { tenant: 4 } }, options).toJSON()).toMatchObject({
      specversion: "1.0",
      id: fullEnvelope.id,
      source: "shop",
      type: "orders.placed",
      subject: "orders.eu.placed",
      time: "2026-01-05T12:30:15.250Z",
      partitionkey: "o-1",
      sessionid: "s-9",
      correlationid: fullEnvelope.correlationId,
      causationid: fullEnvelope.causationId,
      priority: "high",
      data: { orderId: "o-1", total: 12.5 },
    });
  });

  it("finds whatever we write valid", () => {
    fc.assert(
      fc.property(anyEnvelope, (from) => {
        // Its constructor takes null and empty data for missing, so data is not compared here.
        expect(bySdk({ ...from, data: { a: 1 } }, structured)).toMatchObject({
          id: from.id,
          type: from.type,
          source: from.source,
        });
      }),
    );
  });

  it("reads our bytes", () => {
    const event = bySdk(envelope({ data: Uint8Array.of(1, 2, 255) }), structured);
    expect(event.datacontenttype).toBe("application/octet-stream");
    expect([...(event.data as Uint32Array)]).toEqual([1, 2, 255]);
  });

  it("is understood by us when it writes structured events", () => {
    const { headers, body } = HTTP.structured(sent);
    const encoded = message({ headers: Object.entries(headers) as [string, string][], body: body as string });
    expect(decodeEnvelope(encoded, limits)).toEqual(expected);
  });

  it("is understood by us when it writes binary events", () => {
    const { headers, body } = HTTP.binary(sent);
    const strings = Object.entries(headers).map(([name, value]) => [name, String(value)] as const);
    expect(decodeEnvelope(message({ headers: strings, body: body as string }), limits)).toEqual(expected);
  });

  it("is understood by us when it writes bytes", () => {
    const bytes = sent.cloneWith({ data: Uint8Array.of(1, 2, 255), datacontenttype: "application/octet-stream" });
    const { headers, body } = HTTP.structured(bytes);
    const encoded = message({ headers: Object.entries(headers) as [string, string][], body: body as string });
    expect(decodeEnvelope(encoded, limits)).toEqual({ ...expected, data: Uint8Array.of(1, 2, 255) });
  });
});
