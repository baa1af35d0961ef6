import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  anything,
  array,
  assert,
  boolean,
  constantFrom,
  double,
  integer,
  oneof,
  option,
  property,
  record,
  string,
} from "fast-check";
import { describe, expect, it } from "vitest";
import { seed } from "../../testing/settings.ts";
import type { AmqpProperties } from "./client.ts";
import { PublishFrames } from "./publish-frames.ts";

/** The client's own, which is not used any more. */
interface Reference {
  encodeMethod(id: number, channel: number, fields: object): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
  readonly BasicPublish: number;
  readonly BasicProperties: number;
}
const require = createRequire(import.meta.url);
const client = dirname(require.resolve("amqplib"));
const reference = require(join(client, "lib", "defs.js")) as Reference;
const { makeBodyFrame } = require(join(client, "lib", "frame.js")) as {
  readonly makeBodyFrame: (channel: number, body: Buffer) => Buffer;
};
const [channel, frameMax] = [3, 40_000];

interface Sent {
  readonly to: { readonly exchange: string; readonly routingKey: string };
  readonly body: Buffer;
  readonly properties: AmqpProperties;
  readonly mandatory: boolean;
}
function byClient({ to, body, properties, mandatory }: Sent): Buffer {
  const frames = [
    reference.encodeMethod(reference.BasicPublish, channel, { ...to, mandatory }),
    reference.encodeProperties(reference.BasicProperties, channel, body.length, properties),
  ];
  for (let at = 0; at < body.length; at += frameMax - 8)
    frames.push(makeBodyFrame(channel, body.subarray(at, at + frameMax - 8)));
  return Buffer.concat(frames);
}

/** What was written, a buffer for each write. */
function written(): {
  readonly frames: PublishFrames;
  readonly writes: Buffer[];
  readonly socket: { writable: boolean };
} {
  const writes: Buffer[] = [];
  const socket = { writable: true, write: (bytes: Buffer): boolean => (writes.push(bytes), true) };
  return { frames: new PublishFrames(socket, channel, frameMax), writes, socket };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const small: Sent = { to: { exchange: "e", routingKey: "k" }, body: Buffer.from("x"), properties: {}, mandatory: true };

const short = oneof(
  string({ maxLength: 60 }),
  string({ unit: "binary", maxLength: 40 }),
  constantFrom("", "\ud800", "ä".repeat(24), "x".repeat(48), "x".repeat(49), "x".repeat(255), "ä".repeat(127)),
);
const number = oneof(
  integer(),
  double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
  constantFrom(127, 128, -128, -129, 32_767, 32_768, -32_769, 2 ** 31 - 1, 2 ** 31, -(2 ** 31) - 1, 1_795_328_405_345),
);
const value = oneof(
  short,
  number,
  boolean(),
  constantFrom(null, undefined, "t".repeat(3_000), Buffer.from([1, 2, 3]), { "!": "timestamp", value: 1_795_328_405 }),
  constantFrom({ "!": "decimal", value: { places: 2, digits: 314 } }, [], {}, [1, "a", [null]], { a: { b: [true] } }),
);
const headers = array(record({ name: short, value }), { maxLength: 8 }).map((each) =>
  Object.fromEntries(each.map((header) => [header.name, header.value])),
);
const sent = record({
  to: record({ exchange: short, routingKey: short }),
  body: oneof(
    string({ maxLength: 300 }),
    constantFrom("", "b".repeat(39_992), "b".repeat(39_993), "b".repeat(100_000)),
  ).map((text) => Buffer.from(text)),
  properties: record({
    contentType: option(short, { nil: undefined }),
    contentEncoding: option(short, { nil: undefined }),
    priority: constantFrom(undefined, 0, 9),
    correlationId: option(short, { nil: undefined }),
    type: option(short, { nil: undefined }),
    headers: option(headers, { nil: undefined }),
    deliveryMode: constantFrom(undefined, 1, 2),
    replyTo: option(short, { nil: undefined }),
    expiration: option(short, { nil: undefined }),
    messageId: option(short, { nil: undefined }),
    timestamp: constantFrom(undefined, 0, 1_795_328_405),
    appId: option(short, { nil: undefined }),
  }),
  mandatory: boolean(),
});

describe("what is published", () => {
  it("is byte for byte what the client writes, in one write a turn", async () => {
    const turns: Sent[][] = [];
    assert(
      property(array(sent, { minLength: 1, maxLength: 5 }), (each) => void turns.push(each)),
      { seed, numRuns: 300 },
    );
    const { frames, writes } = written();
    for (const each of turns) {
      writes.length = 0;
      for (const { to, body, properties, mandatory } of each) frames.publish(to, body, properties, mandatory);
      await turn();
      const bytes = Buffer.concat(writes);
      expect(bytes.equals(Buffer.concat(each.map(byClient)))).toBe(true);
      if (bytes.length < 65_536) expect(writes).toHaveLength(1);
    }
  });

  it("stays as it was written while more is written", async () => {
    const { frames, writes } = written();
    const expected: Buffer[] = [];
    for (let n = 0; n < 2_000; n += 1) {
      const each = { ...small, body: Buffer.alloc(n % 700, n) };
      frames.publish(each.to, each.body, each.properties, each.mandatory);
      expected.push(byClient(each));
      if (n % 7 === 0) await turn();
    }
    await turn();
    expect(Buffer.concat(writes).equals(Buffer.concat(expected))).toBe(true);
  });

  it.each([
    ["a routing key", { ...small, to: { exchange: "", routingKey: "ä".repeat(128) } }, RangeError],
    ["an id", { ...small, properties: { messageId: "x".repeat(256) } }, RangeError],
    ["headers", { ...small, properties: { headers: { h: "x".repeat(65_536) } } }, RangeError],
    ["headers above a frame", { ...small, properties: { headers: { h: "x".repeat(40_000) } } }, RangeError],
    ["the name of a header", { ...small, properties: { headers: { ["x".repeat(256)]: 1 } } }, RangeError],
    ["no value of the protocol", { ...small, properties: { headers: { h: 1n } } }, TypeError],
  ] as const)("is refused, and nothing of it is written: %s", async (_, { to, body, properties, mandatory }, error) => {
    const { frames, writes } = written();
    frames.publish(small.to, small.body, small.properties, true);
    expect(() => frames.publish(to, body, properties, mandatory)).toThrow(error);
    frames.publish(small.to, small.body, small.properties, true);
    await turn();
    expect(Buffer.concat(writes).equals(Buffer.concat([byClient(small), byClient(small)]))).toBe(true);
  });

  it("keeps no more memory than it needs when it was large", async () => {
    const { frames, writes } = written();
    const large = { ...small, body: Buffer.alloc(4_000_000, 7) };
    frames.publish(large.to, large.body, large.properties, large.mandatory);
    await turn();
    frames.publish(small.to, small.body, small.properties, small.mandatory);
    await turn();
    expect(Buffer.concat(writes).equals(Buffer.concat([byClient(large), byClient(small)]))).toBe(true);
    expect(writes.map(({ buffer }) => buffer.byteLength <= 4_010_000)).toEqual(writes.map(() => true));
    expect(writes.at(-1)!.buffer.byteLength).toBe(65_536);
  });

  it("whatever its headers are, is written whole or not at all", async () => {
    const { frames, writes } = written();
    let whole = 0;
    assert(
      property(anything({ withNullPrototype: true }), (header) => {
        const each = { ...small, properties: { headers: { header } } };
        try {
          frames.publish(each.to, each.body, each.properties, true);
        } catch {
          return; // no value of the protocol
        }
        whole += 1;
      }),
      { seed },
    );
    await turn();
    const methods = Buffer.concat(writes);
    let count = 0;
    for (let at = 0; at < methods.length; at += 8 + methods.readUInt32BE(at + 3)) {
      expect(methods[at + 7 + methods.readUInt32BE(at + 3)]).toBe(0xce);
      if (methods[at] === 1) count += 1;
    }
    expect(count).toBe(whole);
  });

  it("is not written when its channel was closed in the turn, or its connection", async () => {
    const { frames, writes, socket } = written();
    frames.publish(small.to, small.body, small.properties, true);
    socket.writable = false;
    await turn();
    socket.writable = true;
    frames.publish(small.to, small.body, small.properties, true);
    expect(frames.close()).toBe(2);
    await turn();
    expect(writes).toEqual([]);
  });
});
