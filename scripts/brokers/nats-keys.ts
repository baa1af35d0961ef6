import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function base32(bytes: Uint8Array): string {
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  bits = bits.padEnd(Math.ceil(bits.length / 5) * 5, "0");
  return (bits.match(/.{5}/g) ?? []).map((five) => alphabet[Number.parseInt(five, 2)]).join("");
}

/** CRC-16/XMODEM, lowest byte first, behind the bytes. */
function withChecksum(bytes: readonly number[]): Uint8Array {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff;
  }
  return Uint8Array.from([...bytes, crc & 0xff, crc >> 8]);
}

/** What a key is for, as its first letter tells. */
const prefixes = { operator: 14 << 3, account: 0, user: 20 << 3 };
const seedPrefix = 18 << 3;

interface NatsKey {
  readonly publicKey: string;
  readonly seed: string;
  readonly privateKey: KeyObject;
}

/** An nkey. From a name, so that it is the same in every process and nothing has to be kept; it guards test servers only. */
function natsKey(role: keyof typeof prefixes, name: string = role): NatsKey {
  const raw = createHash("sha256").update(`omnibus test ${name}`).digest();
  const prefix = prefixes[role];
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), raw]);
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const own = createPublicKey(privateKey).export({ type: "spki", format: "der" }).subarray(-32);
  return {
    publicKey: base32(withChecksum([prefix, ...own])),
    seed: base32(withChecksum([seedPrefix | (prefix >> 5), (prefix & 31) << 3, ...raw])),
    privateKey,
  };
}

export const testUser: NatsKey = natsKey("user");

/** A claim in the form of NATS's own JSON web tokens, signed by `issuer`. */
function claim(issuer: NatsKey, subject: string, name: string, nats: object): string {
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const body = { iss: issuer.publicKey, sub: subject, name, iat: 1_767_225_600, jti: `${name}-${subject}`, nats };
  const text = `${encode({ typ: "JWT", alg: "ed25519-nkey" })}.${encode(body)}`;
  return `${text}.${sign(null, Buffer.from(text), issuer.privateKey).toString("base64url")}`;
}

/** A server's configuration with one operator, the system's account and one with JetStream, and a credentials file for its user. */
export function makeAccountConfig(): { readonly config: string; readonly credentials: string } {
  const operator = natsKey("operator");
  const account = natsKey("account");
  const system = natsKey("account", "system account");
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const operatorClaim = claim(operator, operator.publicKey, "omnibus", { type: "operator", version: 2 });
  const limits = { ...unlimited, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const jetStream = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const accountOf = (key: NatsKey, name: string, own: object): string =>
    `${key.publicKey}: ${claim(operator, key.publicKey, name, { type: "account", version: 2, limits: own })}`;
  const accounts = [accountOf(account, "tests", { ...limits, ...jetStream }), accountOf(system, "system", limits)];
  const userClaim = claim(account, testUser.publicKey, "user", { type: "user", version: 2, ...unlimited });
  return {
    config: [
      `operator: ${operatorClaim}`,
      `system_account: ${system.publicKey}`,
      "resolver: MEMORY",
      `resolver_preload: { ${accounts.join("\n")} }`,
    ].join("\n"),
    credentials: [
      "-----BEGIN NATS USER JWT-----",
      userClaim,
      "------END NATS USER JWT------",
      "",
      "-----BEGIN USER NKEY SEED-----",
      testUser.seed,
      "------END USER NKEY SEED------",
      "",
    ].join("\n"),
  };
}
