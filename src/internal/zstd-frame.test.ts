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

  it("is undefined of anything else", () => {
    expect(zstdFrameLength(new TextEncoder().encode('{"a":1}'))).toBeUndefined();
    expect(zstdFrameLength(zlib.gzipSync("text"))).toBeUndefined();
  });
});
