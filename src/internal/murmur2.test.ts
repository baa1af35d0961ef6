import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { murmur2 } from "./murmur2.ts";

/** As `org.apache.kafka.common.utils.Utils.murmur2` reads, on bytes, with BigInt instead of Java's ints. */
function reference(key: string): number {
  const m = 0x5bd1e995n;
  const int = (value: bigint): bigint => BigInt.asUintN(32, value);
  const data = [...new TextEncoder().encode(key)].map(BigInt);
  let h = int(0x9747b28cn ^ BigInt(data.length));
  const whole = data.length - (data.length % 4);
  for (let i = 0; i < whole; i += 4) {
    let k = int(data[i]! + (data[i + 1]! << 8n) + (data[i + 2]! << 16n) + (data[i + 3]! << 24n));
    k = int(k * m);
    k ^= k >> 24n;
    k = int(k * m);
    h = int(h * m) ^ k;
  }
  const rest = data.length % 4;
  if (rest >= 3) h ^= data[whole + 2]! << 16n;
  if (rest >= 2) h ^= data[whole + 1]! << 8n;
  if (rest >= 1) h = int((h ^ data[whole]!) * m);
  h ^= h >> 13n;
  h = int(h * m);
  h ^= h >> 15n;
  return Number(h & 0x7fffffffn);
}

describe("murmur2", () => {
  it("gives what Kafka's own tests expect", () => {
    // UtilsTest.testMurmur2 of Kafka, made positive as its partitioner does.
    const vectors: readonly (readonly [string, number])[] = [
      ["21", -973932308],
      ["foobar", -790332482],
      ["a-little-bit-long-string", -985981536],
      ["a-little-bit-longer-string", -1486304829],
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
      ["abc", 479470107],
    ];
    for (const [key, java] of vectors) expect([key, murmur2(key)]).toEqual([key, java & 0x7fffffff]);
  });

  it("hashes the bytes of UTF-8, not the characters", () => {
    const keys = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme-ascii" }));
    fc.assert(
      fc.property(keys, (key) => {
        expect(murmur2(key)).toBe(reference(key));
      }),
    );
  });
});
