import { randomBytes } from "node:crypto";
import zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { zstdFrameLength } from "./zstd-frame.ts";

const { constants } = zlib;
const checksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };

describe("zstdFrameLength", () => {
  it.each([
    ["nothing", Buffer.alloc(0)],
    ["one byte", Buffer.from("a")],
    ["text", Buffer.from("the same again and again, ".repeat(500))],
    ["zeros", Buffer.alloc(1_000_000)],
    ["what can't be compressed", randomBytes(400_000)],
  ])("is that of the whole frame, and of no part of it: %s", (_, content) => {
    for (const options of [{}, checksum]) {
      const frame = zlib.zstdCompressSync(content, options);
      expect(zstdFrameLength(frame)).toBe(frame.length);
      expect(zstdFrameLength(Buffer.concat([frame, Buffer.from("more")]))).toBe(frame.length);
      const cuts = frame.length < 300 ? Array.from(frame.keys()) : [0, 3, 4, 5, 8, 100, frame.length - 1];
      for (const cut of cuts) expect(zstdFrameLength(frame.subarray(0, cut)), `of ${cut} bytes`).toBeUndefined();
    }
  });

  it("takes in skippable frames before it", () => {
    const frame = zlib.zstdCompressSync("text");
    const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    expect(zstdFrameLength(Buffer.concat([skippable, skippable, frame]))).toBe(2 * skippable.length + frame.length);
    expect(zstdFrameLength(Buffer.concat([skippable, frame.subarray(0, 6)]))).toBeUndefined();
    expect(zstdFrameLength(skippable)).toBeUndefined();
    expect(zstdFrameLength(Buffer.from([0x53, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 1]))).toBeUndefined();
  });

  it("is undefined of anything else", () => {
    expect(zstdFrameLength(new TextEncoder().encode('{"a":1}'))).toBeUndefined();
    expect(zstdFrameLength(zlib.gzipSync("text"))).toBeUndefined();
  });
});
