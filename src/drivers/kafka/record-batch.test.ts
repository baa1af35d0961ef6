import { gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { loadClient } from "./client.ts";
import { readBatches } from "./record-batch.ts";
import { unpack, type Unpackers } from "./unpack.ts";

interface Packing {
  createRecordsBatch(messages: readonly object[], options: object): { readonly buffer: Buffer };
  readonly compressionsAlgorithmsByBitmask: Unpackers;
  readonly compressionsAlgorithms: Readonly<Record<string, { compressSync(bytes: Buffer): Buffer }>>;
}
const client = (await loadClient()) as unknown as Packing;
const unpackers = client.compressionsAlgorithmsByBitmask;
const most = 1_000_000;

function batchOf(values: readonly (string | null)[], compression = "none"): Buffer {
  const messages = values.map((value, at) => ({
    topic: "t",
    partition: 0,
    key: at % 2 === 0 ? Buffer.from(`key ${at}`) : undefined,
    value: value === null ? null : Buffer.from(value),
    headers: new Map([[Buffer.from("t"), Buffer.from(`orders.${at}`)]]),
    timestamp: 1_795_328_405_345n + BigInt(at),
  }));
  return Buffer.from(client.createRecordsBatch(messages, { compression }).buffer);
}
const text = (bytes: Buffer | null | undefined): string | null | undefined => bytes && String(bytes);

describe("batches of records", () => {
  it.each(["none", "gzip", "snappy", "lz4", "zstd"])(
    "are read, packed by %s, as the client wrote them",
    (compression) => {
      const [batch] = readBatches(batchOf(["a", "", null, "d".repeat(500)], compression), most, unpackers);
      expect(batch).toMatchObject({ from: 0, to: 4, unreadable: undefined });
      expect(
        batch?.records.map(({ offset, time, key, value, headers }) => [
          offset,
          time - 1_795_328_405_345,
          text(key),
          text(value),
          headers.map(([name, each]) => `${text(name)} ${text(each)}`),
        ]),
      ).toEqual([
        [0, 0, "key 0", "a", ["t orders.0"]],
        [1, 1, undefined, "", ["t orders.1"]],
        [2, 2, "key 2", null, ["t orders.2"]],
        [3, 3, undefined, "d".repeat(500), ["t orders.3"]],
      ]);
    },
  );

  it("have the broker's time where it appends it, and none of what it writes for itself", () => {
    const appended = batchOf(["a", "b"]);
    appended.writeInt16BE(0x08, 21);
    appended.writeBigInt64BE(5_000n, 35);
    expect(readBatches(appended, most, unpackers)[0]?.records.map(({ time }) => time)).toEqual([5_000, 5_000]);
    const control = batchOf(["a"]);
    control.writeInt16BE(0x20, 21);
    expect(readBatches(control, most, unpackers)).toMatchObject([
      { from: 0, to: 1, records: [], unreadable: undefined },
    ]);
  });

  it("stop before one that was cut off, and one that can't be read costs itself alone", () => {
    const [first, second] = [batchOf(["a"]), batchOf(["b", "c"], "gzip")];
    second.writeBigInt64BE(1n, 0);
    const both = Buffer.concat([first, second]);
    expect(readBatches(both, most, unpackers).map(({ to }) => to)).toEqual([1, 3]);
    expect(readBatches(both.subarray(0, both.length - 1), most, unpackers)).toHaveLength(1);
    second.fill(0xff, 70);
    const third = batchOf(["d"]);
    third.writeBigInt64BE(3n, 0);
    const batches = readBatches(Buffer.concat([first, second, third]), most, unpackers);
    expect(batches.map(({ from, to, records }) => [from, to, records.length])).toEqual([
      [0, 1, 1],
      [1, 3, 0],
      [3, 4, 1],
    ]);
    expect(batches[1]?.unreadable?.bytes).toEqual(second);
  });

  it("that lie about what is in them are unreadable, whichever byte is another, or are read as something", () => {
    const whole = batchOf(["abc", "def"]);
    for (let at = 61; at < whole.length; at += 1) {
      for (const byte of [0, 1, 0x7f, 0x80, 0xff]) {
        const damaged = Buffer.from(whole);
        damaged[at] = byte;
        const [batch] = readBatches(damaged, most, unpackers);
        expect(batch?.unreadable !== undefined || batch?.records.length === 2).toBe(true);
      }
    }
  });
});

describe("what is packed", () => {
  const bomb = Buffer.alloc(5_000_000);
  const pack = (name: string): Buffer => Buffer.from(client.compressionsAlgorithms[name]?.compressSync(bomb) ?? []);

  it.each([
    [1, "gzip", gzipSync(bomb)],
    [2, "snappy", pack("snappy")],
    [3, "lz4", pack("lz4")],
    [4, "zstd", zstdCompressSync(bomb)],
  ])("by %i (%s) is unpacked up to the limit, and not beyond", (bits, _, packed) => {
    expect(packed.length).toBeLessThan(300_000);
    expect(unpack(packed, bits, 6_000_000, unpackers)).toHaveLength(bomb.length);
    expect(() => unpack(packed, bits, 4_000_000, unpackers)).toThrow(RangeError);
  });

  it("by Java's snappy counts all of its blocks", () => {
    const block = Buffer.from(client.compressionsAlgorithms["snappy"]?.compressSync(Buffer.alloc(60_000)) ?? []);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    const head = Buffer.concat([Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]), Buffer.alloc(8)]);
    const framed = Buffer.concat([head, length, block, length, block]);
    expect(unpack(framed, 2, 120_000, unpackers)).toHaveLength(120_000);
    expect(() => unpack(framed, 2, 119_999, unpackers)).toThrow("it unpacks to 120000 bytes");
  });

  it("by nobody's way is refused", () => {
    expect(() => unpack(Buffer.alloc(10), 5, most, unpackers)).toThrow("nobody packs by 5");
    expect(() => unpack(Buffer.alloc(10), 3, most, unpackers)).toThrow("no lz4 frame");
  });
});
