import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { int, type KafkaWire } from "../../scripts/brokers/kafka-wire.ts";

const saslHandshake = 17;
const saslAuthenticate = 36;

const text = (value: string): Buffer => Buffer.concat([int(Buffer.byteLength(value), 2), Buffer.from(value)]);

/** The server's part of an exchange; rejects with Kafka's number of the error. */
async function exchange(kafka: KafkaWire, message: string): Promise<string> {
  const body = Buffer.concat([int(Buffer.byteLength(message), 4), Buffer.from(message)]);
  const answer = await kafka.ask({ key: saslAuthenticate, version: 0, body, flexible: false });
  const error = answer.readInt16BE(0);
  if (error !== 0) throw new Error(`SaslAuthenticate: error ${error}`);
  const messageBytes = Math.max(0, answer.readInt16BE(2));
  return answer.subarray(4 + messageBytes + 4).toString();
}

function fieldsOf(message: string): ReadonlyMap<string, string> {
  return new Map(message.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
}

/** RFC 5802, as far as a test needs it: the server is not asked to prove itself. */
async function scram(kafka: KafkaWire, hash: string, user: string, password: string): Promise<void> {
  const nonce = randomBytes(16).toString("base64url");
  const first = `n=${user},r=${nonce}`;
  const challenge = await exchange(kafka, `n,,${first}`);
  const fields = fieldsOf(challenge);
  const salt = Buffer.from(fields.get("s") ?? "", "base64");
  const bytes = hash === "sha256" ? 32 : 64;
  const salted = pbkdf2Sync(password, salt, Number(fields.get("i")), bytes, hash);
  const clientKey = createHmac(hash, salted).update("Client Key").digest();
  const storedKey = createHash(hash).update(clientKey).digest();
  const last = `c=biws,r=${fields.get("r")}`;
  const signature = createHmac(hash, storedKey).update(`${first},${challenge},${last}`).digest();
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString("base64");
  await exchange(kafka, `${last},p=${proof}`);
}

/** Logs in; rejects when the server does not let it. */
export async function kafkaLogin(
  kafka: KafkaWire,
  mechanism: "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512",
  user: string,
  password: string,
): Promise<void> {
  const answer = await kafka.ask({ key: saslHandshake, version: 1, body: text(mechanism), flexible: false });
  const error = answer.readInt16BE(0);
  if (error !== 0) throw new Error(`SaslHandshake: error ${error}`);
  if (mechanism === "PLAIN") await exchange(kafka, `\0${user}\0${password}`);
  else await scram(kafka, mechanism === "SCRAM-SHA-256" ? "sha256" : "sha512", user, password);
}
