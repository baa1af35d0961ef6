import { createHash, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { getCACertificates } from "node:tls";

const password = "changeit"; // Java's own is no secret either
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([length, Buffer.from(value)]);
}

/** Java's format for those whom one trusts: `JKS`. */
function keystore(certificates: readonly string[]): Buffer {
  const entries = certificates.map((pem, at) => {
    const { raw } = new X509Certificate(pem);
    return Buffer.concat([int32(2), text(String(at)), Buffer.alloc(8), text("X.509"), int32(raw.length), raw]);
  });
  const body = Buffer.concat([int32(0xfeedfeed | 0), int32(2), int32(entries.length), ...entries]);
  const check = createHash("sha1").update(Buffer.from(password, "utf16le").swap16()).update("Mighty Aphrodite");
  return Buffer.concat([body, check.update(body).digest()]);
}

/**
 * Java trusts nobody but its own list. Where Node was told of more (`NODE_EXTRA_CA_CERTS`, as behind a company's proxy), what it
 * downloads with has to trust those too. Written to `path`; gives Java's options.
 */
export function trustingAsNode(path: string): readonly string[] {
  if (getCACertificates("extra").length === 0) return [];
  writeFileSync(path, keystore(getCACertificates("default")));
  return [`-Djavax.net.ssl.trustStore=${path}`, `-Djavax.net.ssl.trustStorePassword=${password}`];
}
