import * as zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { connect, defineEvent, type Bus, type BusOptions } from "../../src/index.ts";
import type { Headers } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { until } from "../../src/testing/until.ts";
import { connectTo, outgoing, toQueue, toTopic } from "../support/driver-harness.ts";
import { fresh, Seen, Tick } from "../support/events.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const envelope = (data: string, more = ""): string =>
  `{"specversion":"1.0","id":"i","source":"s","type":"tick","subject":"tick"${more},"data":${data}}`;
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);

interface Raw {
  readonly bus: Bus;
  readonly seen: Seen;
  readonly send: (body: Uint8Array | string, headers?: Headers, lane?: "stream" | "queue") => void;
}
/** A bus with a handler of `tick`, and a way to put raw messages into its store. */
async function raw(options: BusOptions = {}): Promise<Raw> {
  const name = fresh("store");
  const bus = await connect({ driver: memory({ name }), ...options });
  const seen = new Seen();
  await bus.subscribe(Tick, seen.handle, { group: "g" });
  const { connection } = await connectTo(memory({ name }));
  return {
    bus,
    seen,
    send: (given, headers = [], lane = "stream") => {
      const body = typeof given === "string" ? bytes(given) : given;
      const to = lane === "stream" ? toTopic("tick") : toQueue("g", "tick");
      connection.send([outgoing(to, "", { body, headers, key: "k" }).message]);
    },
  };
}

const dead = ["BUS_UNDECODABLE", "BUS_UNDECODABLE"];

/** Comes by both lanes: the reasons of the letters, which have its bytes untouched; the next of its key is handled. */
async function reasonsFor(
  body: Uint8Array | string,
  headers: Headers = [],
  options: BusOptions = {},
): Promise<readonly string[]> {
  const { bus, seen, send } = await raw(options);
  await using _ = bus;
  const from = performance.now();
  for (const lane of ["stream", "queue"] as const) send(body, headers, lane);
  await bus.publish(Tick, { n: 1 }, { key: "k" });
  await until(() => seen.count === 1, "the next good one", 5_000);
  await until(async () => (await bus.deadLetters.count()) === 2, "the letters", 5_000);
  const { items } = await bus.deadLetters.list();
  for (const letter of items) {
    expect(letter).toMatchObject({ attempts: 0, event: undefined });
    expect(Buffer.compare(letter.raw, typeof body === "string" ? bytes(body) : body)).toBe(0);
    expect(letter.reason.message.length).toBeLessThan(400);
    expect(letter.reason.message).not.toContain("4111-hidden");
  }
  expect(performance.now() - from).toBeLessThan(5_000);
  expect(bus.stats()).toMatchObject({ retried: 0, inFlight: 0 });
  return items.map(({ reason }) => reason.code);
}

describe("a message that is no JSON", () => {
  const good = envelope('{"n":7}');
  const bad: readonly (readonly [string, Uint8Array | string])[] = [
    ["empty", ""],
    ["text", "4111-hidden"],
    ["cut off", good.slice(0, -5)],
    ["followed by more", `${good}4111-hidden`],
    ["two of them", good + good],
    ["UTF-16", Buffer.from(good, "utf16le")],
    ["UTF-16 with its mark", joined(new Uint8Array([0xff, 0xfe]), Buffer.from(good, "utf16le"))],
    ["not UTF-8", joined(bytes(good.slice(0, -3)), new Uint8Array([0xc3, 0x28]), bytes(good.slice(-3)))],
    ["an overlong form", joined(bytes('{"specversion":"1.0","a":"'), new Uint8Array([0xc0, 0xaf]), bytes('"}'))],
    ["a NUL", "\0"],
    ["a megabyte of spaces", " ".repeat(1_000_000)],
    ["200,000 brackets", "[".repeat(200_000)],
    ["200,000 levels", `${"[".repeat(200_000)}${"]".repeat(200_000)}`],
    ["200,000 levels of data", envelope(`${"[".repeat(200_000)}${"]".repeat(200_000)}`)],
    ["65 levels of data", envelope(`${"[".repeat(65)}${"]".repeat(65)}`)],
    ["1e400", envelope('{"n":1e400}')],
  ];
  for (const [what, body] of bad)
    it(`is a dead letter with its bytes, and the next is handled: ${what}`, async () => {
      expect(await reasonsFor(body)).toEqual(dead);
    });

  it("may have a byte order mark, equal keys and long numbers: that is JSON", async () => {
    const { bus, seen, send } = await raw();
    await using _ = bus;
    send(joined(new Uint8Array([0xef, 0xbb, 0xbf]), bytes(envelope('{"n":1}'))));
    send(envelope('{"n":1,"n":2}'));
    send(envelope('{"n":9007199254740993}'));
    send(envelope(`${"[".repeat(64)}${"]".repeat(64)}`));
    await until(
      () => seen.count === 4,
      () => `${seen.count}`,
    );
    expect(seen.numbers.slice(0, 3)).toEqual([1, 2, 9_007_199_254_740_992]);
    expect(await bus.deadLetters.count()).toBe(0);
  });
});

describe("a message that reaches for prototypes", () => {
  const bad = [
    envelope('{"__proto__":{"admin":true}}'),
    envelope('{"a":[{"constructor":{"prototype":{"admin":true}}}]}'),
    envelope("1", ',"__proto__":{"admin":true}'),
    envelope("1", ',"busmetadata":"{\\"__proto__\\":{\\"admin\\":true}}"'),
    '{"__proto__":{"specversion":"1.0"},"id":"i","source":"s","type":"tick","data":1}',
  ];
  for (const body of bad)
    it(`is a dead letter, and pollutes nothing: ${body.slice(-50)}`, async () => {
      expect(await reasonsFor(body)).toEqual(dead);
      expect(({} as { readonly admin?: unknown }).admin).toBeUndefined();
    });
});

describe("a message that is too large", () => {
  const options = { maxMessageBytes: 100_000 } as const; // read up to 16 MiB, whatever is written
  const over = 17 * 1_048_576;
  it("is a dead letter before it is parsed: one text, a million keys, millions of items", async () => {
    for (const body of [
      envelope(`"${"x".repeat(over)}"`),
      envelope(`{${Array.from({ length: 1_000_000 }, (_each, at) => `"key${at}-------":1`).join(",")}}`),
      envelope(`[${"0,".repeat(over / 2)}0]`),
    ])
      expect(await reasonsFor(body, [], options)).toEqual(dead);
  });
});

describe("a compressed message", () => {
  const zeros = (size: number): Uint8Array => bytes(envelope(`"${"0".repeat(size)}"`));
  const coders = {
    gzip: (body: Uint8Array) => zlib.gzipSync(body, { level: 9 }),
    br: (body: Uint8Array) => zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } }),
    zstd: (body: Uint8Array) => zlib.zstdCompressSync(body),
  };
  const encoded = (encoding: string): Headers => [["content-encoding", encoding]];
  for (const [encoding, compress] of Object.entries(coders)) {
    it(`is a dead letter when it is a bomb, with its few bytes: ${encoding}`, async () => {
      const bomb = compress(zeros(64 * 1_048_576));
      expect(bomb.length).toBeLessThan(100_000);
      expect(await reasonsFor(bomb, encoded(encoding))).toEqual(dead);
    });

    it(`is a dead letter when it is damaged, cut off, followed by more, nested or of another kind: ${encoding}`, async () => {
      const good = compress(zeros(1_000));
      const damaged = Uint8Array.from(good);
      damaged.fill(0xff, 4, 12);
      expect(await reasonsFor(damaged, encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(good.subarray(0, good.length - 4), encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(joined(good, good), encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(joined(good, new Uint8Array([0])), encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(compress(good), encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(compress(compress(zeros(64 * 1_048_576))), encoded(`${encoding}, ${encoding}`))).toEqual(
        dead,
      );
      expect(await reasonsFor(envelope('{"n":1}'), encoded(encoding))).toEqual(dead);
      expect(await reasonsFor(new Uint8Array(0), encoded(encoding))).toEqual(dead);
    });
  }

  it("is a dead letter when its encoding is none of ours, and read whatever the case of its name", async () => {
    for (const encoding of ["lz4", "snappy", "deflate", "__proto__", "constructor", "gzip\0", "x".repeat(10_000)])
      expect(await reasonsFor(coders.gzip(zeros(10)), encoded(encoding))).toEqual(dead);
    const { bus, seen, send } = await raw();
    await using _ = bus;
    send(coders.gzip(bytes(envelope('{"n":1}'))), encoded(" GZIP "));
    send(envelope('{"n":2}'), encoded("identity"));
    await until(() => seen.count === 2, "both");
    expect(seen.numbers).toEqual([1, 2]);
  });
});

describe("an envelope with wrong attributes", () => {
  const wrong: readonly string[] = [
    '"specversion":"9.9"',
    '"specversion":1',
    '"specversion":null',
    '"specversion":["1.0"]',
    '"dataversion":-1',
    '"dataversion":1.5',
    '"dataversion":9007199254740992',
    '"dataversion":{}',
    '"id":7',
    '"id":""',
    '"type":{}',
    '"source":null',
    '"time":"yesterday"',
    '"maxattempts":0',
    '"busmetadata":"[1]"',
    '"busmetadata":"{"',
    '"partitionkey":{}',
  ];
  for (const attribute of wrong)
    it(`is a dead letter: ${attribute}`, async () => {
      expect(await reasonsFor(envelope('{"n":1}', `,${attribute}`))).toEqual(dead);
    });

  it("is a dead letter where it is of a content type or a format that is none of ours", async () => {
    for (const type of [
      "application/cloudevents+avro",
      "application/cloudevents-batch+json",
      "application/cloudevents+xml",
    ])
      expect(await reasonsFor(envelope('{"n":1}'), [["content-type", type]])).toEqual(dead);
    expect(await reasonsFor(`[${envelope('{"n":1}')}]`)).toEqual(dead);
    expect(await reasonsFor('{"n":1}')).toEqual(dead); // foreign: no envelope at all
  });
});

describe("a valid envelope with data that the schema refuses", () => {
  it("is a dead letter at once, without a retry, with the event in it; the next is handled", async () => {
    const name = fresh("store");
    await using bus = await connect({ driver: memory({ name }) });
    const seen = new Seen();
    await bus.subscribe(defineEvent("tick", { schema: z.object({ n: z.number() }) }), seen.handle, { group: "g" });
    const { connection } = await connectTo(memory({ name }));
    for (const data of ['{"n":"seven"}', "null", "[]", "{}"])
      connection.send([outgoing(toTopic("tick"), envelope(data), { key: "k" }).message]);
    await bus.publish(Tick, { n: 1 }, { key: "k" });
    await until(() => seen.count === 1, "the good one");
    await until(async () => (await bus.deadLetters.count()) >= 1, "letters");
    const { items } = await bus.deadLetters.list();
    expect(items.map(({ reason }) => reason.code)).toEqual(items.map(() => "BUS_INVALID_DATA"));
    expect([bus.stats().retried, seen.numbers]).toEqual([0, [1]]);
  });
});
