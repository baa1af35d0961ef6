import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

type Bytes = Uint8Array<ArrayBufferLike>;

/** One DER value: tag, length, contents. */
function der(tag: number, ...contents: readonly Bytes[]): Bytes {
  const body = Buffer.concat(contents);
  if (body.length < 0x80) return Buffer.from([tag, body.length, ...body]);
  const length = Buffer.from(body.length.toString(16).padStart(body.length > 0xff ? 4 : 2, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

const sequence = (...contents: readonly Bytes[]): Bytes => der(0x30, ...contents);
const octets = (...contents: readonly Bytes[]): Bytes => der(0x04, ...contents);
const bits = (contents: Bytes, unused = 0): Bytes => der(0x03, Buffer.from([unused]), contents);
const tagged = (number: number, ...contents: readonly Bytes[]): Bytes => der(0xa0 | number, ...contents);
const yes = der(0x01, Buffer.from([0xff]));

function objectId(dotted: string): Bytes {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return der(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

const name = (common: string): Bytes =>
  sequence(der(0x31, sequence(objectId("2.5.4.3"), der(0x0c, Buffer.from(common)))));

/** UTCTime, which the standard wants up to 2049. */
const time = (date: Date): Bytes =>
  der(0x17, Buffer.from(`${date.toISOString().slice(2, 19).replaceAll(/[-:T]/g, "")}Z`));

const extension = (id: string, critical: boolean, value: Bytes): Bytes =>
  sequence(objectId(id), ...(critical ? [yes] : []), octets(value));

const ecdsaWithSha256 = sequence(objectId("1.2.840.10045.4.3.2"));

export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends Identity {
  readonly commonName: string;
  readonly signer: KeyObject;
  readonly keyId: Bytes;
}

export interface CertificateOptions {
  readonly commonName: string;
  /** Undefined: signs itself, and is an authority. */
  readonly authority?: Authority | undefined;
  /** Names and IPv4 addresses of a server. @default none */
  readonly hosts?: readonly string[];
  readonly validFrom: Date;
  readonly validTo: Date;
}

const isAddress = (host: string): boolean => /^[\d.]+$/.test(host);

/**
 * An X.509 certificate with a fresh P-256 key. Written here because it is one page on top of `node:crypto`; `openssl` has no
 * way to make an expired one that all its versions and forks know, and the libraries for it bring ten packages.
 */
export function makeCertificate(options: CertificateOptions): Authority {
  const { commonName, authority, hosts = [], validFrom, validTo } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const publicInfo = publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha1").update(publicInfo).digest();
  const alternatives = hosts.map((host) =>
    isAddress(host) ? der(0x87, Buffer.from(host.split(".").map(Number))) : der(0x82, Buffer.from(host)),
  );
  const extensions = [
    extension("2.5.29.19", true, authority === undefined ? sequence(yes) : sequence()),
    // Authorities sign certificates and revocation lists; the others sign.
    extension("2.5.29.15", true, authority === undefined ? bits(Buffer.from([0x06]), 1) : bits(Buffer.from([0x80]), 7)),
    extension("2.5.29.14", false, octets(keyId)),
    extension("2.5.29.35", false, sequence(der(0x80, authority?.keyId ?? keyId))),
    ...(authority === undefined
      ? []
      : [extension("2.5.29.37", false, sequence(objectId("1.3.6.1.5.5.7.3.1"), objectId("1.3.6.1.5.5.7.3.2")))]),
    ...(alternatives.length === 0 ? [] : [extension("2.5.29.17", false, sequence(...alternatives))]),
  ];
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40; // positive, of full length
  const body = sequence(
    tagged(0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, serial),
    ecdsaWithSha256,
    name(authority?.commonName ?? commonName),
    sequence(time(validFrom), time(validTo)),
    name(commonName),
    publicInfo,
    tagged(3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, authority?.signer ?? privateKey);
  const whole = Buffer.from(sequence(body, ecdsaWithSha256, bits(signature)));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    commonName,
    signer: privateKey,
    keyId,
    certificate: `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
