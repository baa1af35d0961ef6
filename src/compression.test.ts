import * as zlib from "node:zlib";
import { afterEach, describe, expect, it, vi } from "vitest";
import { compress, decompress, type Encoding } from "./compression.ts";

const encodings = ["gzip", "zstd", "br"] as const;
const text = new TextEncoder().encode("a lot of the same, ".repeat(200));
const mebibyte = 1_048_576;

function refusal(body: Uint8Array, encoding: string, maxBytes = mebibyte): string {
  try {
    return `accepted ${decompress(body, encoding, maxBytes).length}`;
  } catch (error) {
    return (error as Error).message;
  }
}

describe.each(encodings)("%s", (encoding) => {
  it("gives back what was compressed, and makes it smaller", () => {
    const compressed = compress(text, encoding);
    expect(compressed.length).toBeLessThan(text.length / 10);
    expect(Buffer.from(decompress(compressed, encoding, mebibyte)).equals(text)).toBe(true);
    expect(decompress(compress(new Uint8Array(), encoding), encoding, 1)).toHaveLength(0);
  });

  it("knows the name in any case", () => {
    expect(decompress(compress(text, encoding), ` ${encoding.toUpperCase()} `, mebibyte)).toHaveLength(text.length);
  });

  it("stops at the cap, not after it", () => {
    const compressed = compress(text, encoding);
    expect(refusal(compressed, encoding, text.length)).toBe(`accepted ${text.length}`);
    expect(refusal(compressed, encoding, text.length - 1)).toBe(
      `undecodable message: larger than ${text.length - 1} bytes when decompressed (${encoding})`,
    );
  });

  it("does not unpack a bomb", () => {
    const bomb = compress(new Uint8Array(64 * mebibyte), encoding);
    const before = process.memoryUsage.rss();
    expect(refusal(bomb, encoding)).toContain("larger than 1048576 bytes");
    expect(process.memoryUsage.rss() - before).toBeLessThan(32 * mebibyte);
  });

  it("unpacks one layer only", () => {
    const twice = compress(compress(new Uint8Array(64 * mebibyte), encoding), encoding);
    expect(refusal(twice, encoding)).toMatch(/^accepted \d{1,6}$|larger than/);
    expect(refusal(twice, `${encoding}, ${encoding}`)).toBe("undecodable message: unknown content encoding");
  });

  it("refuses what is damaged, cut off or followed by more", () => {
    const whole = compress(text, encoding);
    const damaged = `undecodable message: damaged or cut off (${encoding})`;
    expect(refusal(whole.subarray(0, -1), encoding)).toBe(damaged);
    expect(refusal(whole.subarray(0, 3), encoding)).toBe(damaged);
    expect(refusal(new Uint8Array(), encoding)).toBe(damaged);
    expect(refusal(new TextEncoder().encode('{"a":1}'), encoding)).toBe(damaged);
    const more = [Buffer.concat([whole, Buffer.alloc(8)]), Buffer.concat([whole, Buffer.from("garbage")])];
    for (const each of more)
      expect(refusal(each, encoding)).toMatch(/^undecodable message: (?:bytes after the end|damaged)/);
  });
});

describe("decompress", () => {
  it("refuses unknown encodings without repeating them", () => {
    for (const encoding of ["deflate", "snappy", "x\u001b[2J", "__proto__", "constructor"])
      expect(refusal(text, encoding)).toBe("undecodable message: unknown content encoding");
  });

  it("leaves a body that is not encoded", () => {
    expect(decompress(text, "identity", 1)).toBe(text);
    expect(decompress(text, "", 1)).toBe(text);
  });

  it("refuses a zstd window of more than 8 MiB", () => {
    const large = zlib.zstdCompressSync(new Uint8Array(16 * mebibyte), {
      params: { [zlib.constants.ZSTD_c_windowLog]: 27, [zlib.constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    expect(refusal(large, "zstd", 32 * mebibyte)).toBe("undecodable message: damaged or cut off (zstd)");
  });
});

describe("a Node without zstd", () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.resetModules();
  });

  it("refuses to write it, and says so of a message", async () => {
    const without = { ...zlib, zstdCompressSync: undefined, zstdDecompressSync: undefined };
    vi.spyOn(process, "getBuiltinModule").mockReturnValue(without as never);
    vi.resetModules();
    const older = await import("./compression.ts");
    expect(() => older.compress(text, "zstd" satisfies Encoding)).toThrow(
      expect.objectContaining({ code: "BUS_UNSUPPORTED", message: "can't compress (zstd): this Node has no zstd" }),
    );
    expect(() => older.decompress(compress(text, "zstd"), "zstd", mebibyte)).toThrow(
      "unknown content encoding here (zstd)",
    );
    expect(older.decompress(older.compress(text, "gzip"), "gzip", mebibyte)).toHaveLength(text.length);
  });
});
