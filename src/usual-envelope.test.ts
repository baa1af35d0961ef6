import { describe, expect, it } from "vitest";
import { decodeEnvelope, encodeEnvelope, type DecodeOptions, type EncodedMessage } from "./codec.ts";
import type { Envelope } from "./envelope.ts";
import { readUsual } from "./usual-envelope.ts";

const base: Envelope = {
  id: "0198f0c2-7d1e-7c3a-9d6b-000000000001",
  type: "orders.placed",
  version: 1,
  topic: "orders.eu.placed",
  source: "@acme/shop",
  time: Date.UTC(2030, 0, 31),
  key: "o-1",
  session: undefined,
  correlationId: undefined,
  causationId: undefined,
  priority: "normal",
  metadata: undefined,
  maxAttempts: undefined,
  data: { total: 12, note: "é\n\u2028😀", list: [1, [2, { deep: null }]] },
};
const options: DecodeOptions = { maxDecompressedBytes: 1_000_000 };

function bodyOf(envelope: Envelope): Uint8Array {
  return encodeEnvelope(envelope, { mode: "structured", compression: undefined, maxMessageBytes: 1_000_000 }).body;
}

function messageOf(body: Uint8Array, topic = ""): EncodedMessage {
  return { topic, body, header: () => undefined };
}

/** The same event with a blank after its brace: no longer as we write it, so it goes through the parser. */
function spaced(body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from("{ "), body.subarray(1)]);
}

function outcome(body: Uint8Array, topic?: string): unknown {
  try {
    return decodeEnvelope(messageOf(body, topic), options);
  } catch (error) {
    return (error as Error).message;
  }
}

/** A small generator, the same in each run. */
function chance(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x8000_0000;
}

describe("the usual envelope", () => {
  const variants: readonly (readonly [string, Partial<Envelope>])[] = [
    ["as most are", {}],
    ["without a key", { key: undefined }],
    ["with a long key", { key: "k".repeat(200) }],
    ["with correlation and causation", { correlationId: "c-1", causationId: base.id }],
    ["with an id of another form", { id: "order/1" }],
    ["whose data is null", { data: null }],
    ["whose data is a text with a brace at its end", { data: 'a"}' }],
    ["with an escaped key", { key: 'a"b\\c' }],
    ["with a key that is not ASCII", { key: "schlüssel" }],
    ["with everything", { version: 3, session: "s", priority: "high", maxAttempts: 2, metadata: { a: 1 } }],
    ["of bytes", { data: new Uint8Array([1, 2, 3]) }],
  ];

  it.each(variants)("gives what the parser gives: an event %s", (_, parts) => {
    const body = bodyOf({ ...base, ...parts });
    expect(outcome(body)).toEqual({ ...base, ...parts });
    expect(outcome(body)).toEqual(outcome(spaced(body)));
  });

  it("is read without the parser for most events, and left to it for the others", () => {
    const read = (parts: Partial<Envelope>): boolean => {
      const body = bodyOf({ ...base, ...parts });
      return readUsual(body, Buffer.from(body).toString(), messageOf(body)) !== undefined;
    };
    expect(variants.map(([, parts]) => read(parts))).toEqual([
      ...[true, true, true, true, true, true, true],
      ...[false, false, false, false],
    ]);
  });

  it("takes topics in turn for what they are", () => {
    for (let index = 0; index < 50; index += 1) {
      const envelope = {
        ...base,
        topic: `orders.t${index % 3}`,
        type: `type-${index % 2}`,
        time: base.time + (index % 5),
      };
      expect(outcome(bodyOf(envelope))).toEqual(envelope);
    }
  });

  it("says what the parser says of a message whose topic is another than its subject", () => {
    const body = bodyOf(base);
    expect(outcome(body, "orders.us.placed")).toEqual(outcome(spaced(body), "orders.us.placed"));
    expect(outcome(body, "orders.us.placed")).toMatchObject({ topic: "orders.us.placed" });
  });

  it("judges damaged messages as the parser does", () => {
    const random = chance(7);
    const fragments = ['"', "\\", "}", "{", ",", ',"data":1', ',"source":"x"', "\u0000", "é", ',"partitionkey":""'];
    let same = 0;
    for (let round = 0; round < 4_000; round += 1) {
      const body = Buffer.from(
        bodyOf({ ...base, key: `k${round % 10}`, correlationId: round % 2 === 0 ? "c" : undefined }),
      );
      const at = 1 + Math.floor(random() * (body.length - 1));
      const kind = Math.floor(random() * 3);
      let damaged: Buffer;
      if (kind === 0) damaged = Buffer.concat([body.subarray(0, at), body.subarray(at + 1 + Math.floor(random() * 8))]);
      else if (kind === 1) {
        const inserted = fragments[Math.floor(random() * fragments.length)]!;
        damaged = Buffer.concat([body.subarray(0, at), Buffer.from(inserted), body.subarray(at)]);
      } else {
        damaged = Buffer.from(body);
        damaged[at] = Math.floor(random() * 256);
      }
      const [fast, slow] = [outcome(damaged), outcome(spaced(damaged))];
      if (typeof fast === "string" && typeof slow === "string") expect(fast.slice(0, 20)).toBe(slow.slice(0, 20));
      else expect(fast).toEqual(slow);
      same += typeof fast === "string" ? 0 : 1;
    }
    expect(same).toBeGreaterThan(500);
  });

  it("takes the broker's key where the event names none, if it can be one", () => {
    const body = bodyOf({ ...base, key: undefined });
    const read = (key: string, bytes: Uint8Array): unknown => {
      try {
        return decodeEnvelope({ ...messageOf(bytes), key }, options);
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(read("k", body)).toEqual({ ...base, key: "k" });
    expect(read("a\u0000", body)).toEqual(read("a\u0000", spaced(body)));
  });

  it("keeps nothing of the message in its texts, and no text in the message", () => {
    const body = bodyOf({ ...base, key: "a-key-of-some-length" });
    const head = readUsual(body, Buffer.from(body).toString(), messageOf(body))!;
    const copy = { ...head };
    body.fill(0x20);
    expect(head).toEqual(copy);
    expect(outcome(bodyOf(base))).toEqual(base);
  });
});
