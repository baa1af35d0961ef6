import { pbkdf2Sync } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { compact, int, KafkaWire, noTags } from "./kafka-wire.ts";

export interface KafkaUser {
  readonly user: string;
  readonly password: string;
  /** Of SCRAM. */
  readonly hash: "sha256" | "sha512";
}

const alterUserScramCredentials = 51;
const describeUserScramCredentials = 50;
/** Of an answer, before what it says. */
const throttleBytes = 4;

/**
 * Kafka keeps the passwords of SCRAM in itself, so they are made once it runs; the same each time. `port` is of a listener that
 * asks for no password.
 */
export async function makeKafkaUser(port: number, user: KafkaUser, signal: AbortSignal): Promise<void> {
  const kafka = KafkaWire.plain(port);
  try {
    await alter(kafka, user);
    // That answer comes before every server knows.
    const body = Buffer.concat([int(0, 1), noTags]);
    const everybody = { key: describeUserScramCredentials, version: 0, body, flexible: true };
    while (!(await kafka.ask(everybody)).includes(user.user)) await sleep(20, undefined, { signal });
  } finally {
    kafka[Symbol.dispose]();
  }
}

async function alter(kafka: KafkaWire, { user, password, hash }: KafkaUser): Promise<void> {
  const [mechanism, bytes] = hash === "sha256" ? [1, 32] : [2, 64];
  const iterations = 4_096;
  const salt = "omnibus test salt";
  const salted = pbkdf2Sync(password, salt, iterations, bytes, hash);
  const entry = [compact(user), int(mechanism, 1), int(iterations, 4), compact(salt), compact(salted), noTags];
  const [nobody, one] = [int(1, 1), int(2, 1)];
  const body = Buffer.concat([nobody, one, ...entry, noTags]);
  const answer = await kafka.ask({ key: alterUserScramCredentials, version: 0, body, flexible: true });
  const error = answer.readInt16BE(throttleBytes + one.length + compact(user).length);
  if (error !== 0) throw new Error(`Kafka does not make the user ${user}: error ${error}`);
}
