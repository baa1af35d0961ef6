import fc from "fast-check";
import type { EncodedMessage, EncodeOptions } from "../../src/codec.ts";
import type { Headers } from "../../src/driver.ts";
import type { Envelope } from "../../src/envelope.ts";

export const structured: EncodeOptions = { mode: "structured", compression: undefined, maxMessageBytes: 1_048_576 };
export const binary: EncodeOptions = { ...structured, mode: "binary" };

const smallest: Envelope = {
  id: "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
  type: "orders.placed",
  version: 1,
  topic: "orders.eu.placed",
  source: "shop",
  time: Date.UTC(2026, 0, 5, 12, 30, 15, 250),
  key: undefined,
  session: undefined,
  correlationId: undefined,
  causationId: undefined,
  priority: "normal",
  metadata: undefined,
  maxAttempts: undefined,
  data: { orderId: "o-1", total: 12.5 },
};

/** One with nothing but what it must have; `more` replaces. */
export const envelope = (more: Partial<Envelope> = {}): Envelope => ({ ...smallest, ...more });

/** One with everything. */
export const fullEnvelope: Envelope = envelope({
  version: 3,
  key: "o-1",
  session: "s-9",
  correlationId: "0193a1b2-0000-7000-8000-000000000001",
  causationId: "0193a1b2-0000-7000-8000-000000000002",
  priority: "high",
  metadata: { tenant: 4, path: ["ä", 'b"c'] },
  maxAttempts: 7,
});

export const message = (
  encoded: { readonly headers?: Headers; readonly body: Uint8Array | string },
  more: Partial<EncodedMessage> = {},
): EncodedMessage => {
  const headers = new Map(encoded.headers ?? []);
  const body = typeof encoded.body === "string" ? new TextEncoder().encode(encoded.body) : encoded.body;
  return { topic: smallest.topic, body, header: (name) => headers.get(name), headers: () => [...headers], ...more };
};

const text = fc
  .string({
    unit: fc.oneof(
      fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 1 }),
      fc.constantFrom("é", "😀", "%", '"', "\\"),
    ),
    minLength: 1,
    maxLength: 40,
  })
  .filter((value) => /^[^\p{Cc}]+$/u.test(value));
const optional = fc.option(text, { nil: undefined });
const json = fc
  .jsonValue({ maxDepth: 4, noUnicodeString: false })
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const safe = json.filter((value) => !/__proto__|"constructor"/.test(JSON.stringify(value)));

/** Any envelope that the bus could make. */
export const anyEnvelope: fc.Arbitrary<Envelope> = fc.record(
  {
    id: text,
    type: text,
    version: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    topic: fc.constant(smallest.topic),
    source: fc.constantFrom("shop", "@acme/shop", "https://shop.example/eu?x=1#y", "a%20b"),
    time: fc.integer({ min: Date.UTC(1970), max: Date.UTC(2100) }),
    key: optional,
    session: optional,
    correlationId: optional,
    causationId: optional,
    priority: fc.constantFrom("low", "normal", "high", "critical"),
    metadata: fc.option(
      fc.dictionary(
        text.filter((key) => key !== "__proto__" && key !== "constructor"), // the latter confuses the matcher
        safe,
        { minKeys: 1, maxKeys: 4, noNullPrototype: true },
      ),
      { nil: undefined },
    ),
    maxAttempts: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    data: fc.oneof({ weight: 4, arbitrary: safe }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }) }),
  },
  { noNullPrototype: true },
);
