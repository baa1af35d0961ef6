import type * as Zlib from "node:zlib";
import { BusError } from "./errors.ts";
import { zstdFrameLength } from "./internal/zstd-frame.ts";
import { undecodable } from "./undecodable.ts";

export type Encoding = "gzip" | "zstd" | "br";

interface Coder {
  readonly compress: (body: Uint8Array) => Uint8Array;
  readonly decompress: (
    body: Uint8Array,
    options: { readonly maxOutputLength: number; readonly info: true },
  ) => unknown;
}

let loaded: ReadonlyMap<string, Coder | undefined> | undefined;

/** Loaded when first needed: most programs never compress, and `node:zlib` takes 3 ms of the import of this package. */
const coders = (): ReadonlyMap<string, Coder | undefined> =>
  (loaded ??= codersOf(process.getBuiltinModule("node:zlib")));

function codersOf(zlib: typeof Zlib): ReadonlyMap<string, Coder | undefined> {
  // Brotli's own default, 11, takes a hundred times as long for a tenth of the size.
  const brotli = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } };
  return new Map<Encoding, Coder | undefined>([
    ["gzip", { compress: (body) => zlib.gzipSync(body), decompress: zlib.gunzipSync }],
    ["br", { compress: (body) => zlib.brotliCompressSync(body, brotli), decompress: zlib.brotliDecompressSync }],
    ["zstd", zstdCoder(zlib)],
  ]);
}

function zstdCoder(zlib: typeof Zlib): Coder | undefined {
  // Typed as always there, but it came with Node 22.15.
  const { zstdCompressSync, zstdDecompressSync } = zlib as Partial<typeof zlib>;
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) return undefined;
  // A window of 8 MiB is what RFC 8878 asks of every reader; a larger one is a way to take our memory.
  const window = { params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 } };
  return {
    compress: (body) => zstdCompressSync(body),
    decompress: (body, options) => zstdDecompressSync(body, { ...options, ...window }),
  };
}

/** Throws BUS_UNSUPPORTED where this Node lacks the encoding. */
export function compress(body: Uint8Array, encoding: Encoding): Uint8Array {
  const coder = coders().get(encoding);
  if (coder === undefined)
    throw new BusError("BUS_UNSUPPORTED", `can't compress (${encoding}): this Node has no ${encoding}`);
  return coder.compress(body);
}

/**
 * Undoes one `content-encoding`. Throws BUS_UNDECODABLE for an unknown or a second encoding, for bytes that are damaged, cut
 * off or followed by others, and as soon as the result is larger than `maxBytes`.
 */
export function decompress(body: Uint8Array, encoding: string, maxBytes: number): Uint8Array {
  const name = encoding.trim().toLowerCase();
  if (name === "" || name === "identity") return body;
  const coder = coders().get(name);
  if (coder === undefined) throw undecodable(`unknown content encoding${coders().has(name) ? ` here (${name})` : ""}`);
  if (name === "zstd" && zstdFrameLength(body) === undefined) throw undecodable(`damaged or cut off (${name})`);
  let result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } };
  try {
    result = coder.decompress(body, { maxOutputLength: maxBytes, info: true }) as typeof result;
  } catch (cause) {
    const tooLarge = (cause as { readonly code?: unknown }).code === "ERR_BUFFER_TOO_LARGE";
    throw undecodable(
      tooLarge ? `larger than ${maxBytes} bytes when decompressed (${name})` : `damaged or cut off (${name})`,
      cause,
    );
  }
  if (result.engine.bytesWritten !== body.length) throw undecodable(`bytes after the end (${name})`);
  return result.buffer;
}
