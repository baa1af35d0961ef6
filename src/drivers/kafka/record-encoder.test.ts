import { assert, constantFrom, array, oneof, option, property, record, string, uint8Array } from "fast-check";
import { describe, expect, it } from "vitest";
import { seed } from "../../testing/settings.ts";
import { loadClient } from "./client.ts";
import { produceMessage, type ProduceTopics } from "./produce-request.ts";
import { readBatches } from "./record-batch.ts";
import { encodeBatch, type Field, type RecordFields } from "./record-encoder.ts";
import type { Unpackers } from "./unpack.ts";

interface Written {
  readonly buffer: Buffer;
}
/** The client's own, which is not used any more. */
interface Reference {
  createRecordsBatch(messages: readonly object[], options: object): Written;
  readonly produceV11: {
    createRequest(acks: number, timeoutMs: number, messages: readonly object[], options: object): Written;
  };
  readonly compressionsAlgorithmsByBitmask: Unpackers;
}
const client = await loadClient();
const reference = client as unknown as Reference;
const time = 1_795_328_405_345;
const head = { time, id: { producerId: 7_000_000_001n, producerEpoch: 3 }, sequence: 41 };

const bytesOf = (field: Field): Buffer =>
  Buffer.from(typeof field === "string" ? Buffer.from(field.toWellFormed()) : field);
const messageOf =
  (topic: string, partition: number) =>
  ({ key, value, headers }: RecordFields): object => {
    const map = new Map<Buffer, Buffer>();
    for (let at = 0; at < headers.length; at += 2) map.set(bytesOf(headers[at]!), bytesOf(headers[at + 1]!));
    return {
      ...{ topic, partition, timestamp: BigInt(time), value: bytesOf(value), headers: map },
      key: key === undefined ? undefined : bytesOf(key),
    };
  };
const optionsOf = ({ id, sequence }: typeof head): object => ({ ...id, sequences: { getWithDefault: () => sequence } });
const byClient = (records: readonly RecordFields[]): Buffer =>
  reference.createRecordsBatch(records.map(messageOf("t", 0)), optionsOf(head)).buffer;
const byUs = (records: readonly RecordFields[]): Buffer => encodeBatch(records, head, client.crc32c) as Buffer;
const plain = (value: Field, headers: readonly Field[] = []): RecordFields => ({ key: undefined, value, headers });

const text = oneof(
  string({ maxLength: 80 }),
  string({ unit: "binary", maxLength: 80 }),
  constantFrom(
    "",
    "\ud800",
    "a\udc00b",
    "ä".repeat(47),
    "x".repeat(48),
    "x".repeat(49),
    "x".repeat(63),
    "x".repeat(64),
  ),
);
const field = oneof(text, uint8Array({ maxLength: 100 }));
const records = array(
  record({
    key: option(field, { nil: undefined }),
    value: oneof(field, uint8Array({ minLength: 8_100, maxLength: 8_300 })),
    headers: array(field, { maxLength: 8 }).map((fields) => (fields.length % 2 === 0 ? fields : fields.slice(1))),
  }),
  { minLength: 1, maxLength: 20 },
);

describe("batches of records", () => {
  it("are byte for byte what the client writes", () => {
    assert(
      property(records, (each) => byUs(each).equals(byClient(each))),
      { seed, numRuns: 300 },
    );
  });

  it.each([0, 1, 47, 48, 49, 62, 63, 64, 65, 8_180, 8_192, 200_000, 1_048_560, 1_048_576, 1_100_000])(
    "are so with values of about %i bytes, alone and behind one another",
    (size) => {
      for (const length of [size, Math.max(0, size - 10), size + 10]) {
        const each = [
          plain("short"),
          plain("x".repeat(length)),
          plain(Buffer.alloc(length, 1), ["n", "ä".repeat(size % 99)]),
        ];
        expect(byUs(each).equals(byClient(each))).toBe(true);
        expect(byUs(each.toReversed()).equals(byClient(each.toReversed()))).toBe(true);
      }
    },
  );

  it("are so with more records than one byte counts", () => {
    const many = Array.from({ length: 10_000 }, (_, at) => plain(String(at)));
    expect(byUs(many).equals(byClient(many))).toBe(true);
  });

  it.each([
    ["gzip", 1],
    ["snappy", 2],
    ["lz4", 3],
    ["zstd", 4],
  ] as const)("are read as they were written, packed by %s", async (name, bits) => {
    const packer = client.compressionsAlgorithms[name];
    expect(packer.bitmask).toBe(bits);
    const each = [plain("a", ["h", "1"]), plain(Buffer.alloc(5_000, 7)), plain("ä\ud800")];
    const bytes = await encodeBatch(each, head, client.crc32c, packer);
    expect(bytes.readUInt32BE(17)).toBe(client.crc32c(bytes.subarray(21)));
    const [batch] = readBatches(bytes, 1_000_000, reference.compressionsAlgorithmsByBitmask);
    expect(batch?.records.map(({ value }) => value)).toEqual(each.map(({ value }) => bytesOf(value)));
    expect(batch?.records[0]?.headers.map((pair) => pair.map(String))).toEqual([["h", "1"]]);
  });

  it("of nobody's have no id", () => {
    const bytes = encodeBatch([plain("a")], { time, id: undefined, sequence: 0 }, client.crc32c) as Buffer;
    expect([bytes.readBigInt64BE(43), bytes.readInt16BE(51), bytes.readInt32BE(53)]).toEqual([-1n, 0, 0]);
  });
});

describe("a request that stores batches", () => {
  const sent = async (acks: 0 | 1 | -1, topics: ProduceTopics): Promise<Written & { readonly context: object }> => {
    let written: unknown;
    const send = (...[, , request, , , , done]: readonly unknown[]): void => {
      written = (request as () => unknown)();
      (done as (error: null) => void)(null);
    };
    await produceMessage(client).api.async({ send } as never, acks, 30_000, topics);
    return written as Written & { readonly context: object };
  };

  it("is byte for byte the client's, of several topics and partitions", async () => {
    const [one, two, three] = [[plain("a")], [plain("b"), plain("c")], [plain("x".repeat(300))]];
    const topics = new Map([
      [
        "orders",
        [
          { partition: 0, batch: byUs(one) },
          { partition: 300, batch: byUs(two) },
        ],
      ],
      ["ä", [{ partition: 7, batch: byUs(three) }]],
    ]);
    const messages = [
      ...one.map(messageOf("orders", 0)),
      ...two.map(messageOf("orders", 300)),
      ...three.map(messageOf("ä", 7)),
    ];
    const expected = reference.produceV11.createRequest(-1, 30_000, messages, optionsOf(head));
    expect((await sent(-1, topics)).buffer.equals(expected.buffer)).toBe(true);
  });

  it("waits for no answer where none comes", async () => {
    const topics = new Map([["t", [{ partition: 0, batch: byUs([plain("a")]) }]]]);
    expect((await sent(0, topics)).context).toEqual({ noResponse: true });
    expect((await sent(1, topics)).context).toEqual({});
  });
});
