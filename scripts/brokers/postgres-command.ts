import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";

export interface PostgresLogin {
  /** @default omnibus */
  readonly user?: string;
  readonly password?: string;
  /** @default no TLS */
  readonly tls?: ConnectionOptions;
}

const timeoutMs = 15_000;

function message(type: string, ...parts: readonly (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([Buffer.from(type), length, body]);
}

function int32(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [at, number] of numbers.entries()) bytes.writeInt32BE(number, 4 * at);
  return bytes;
}

/** The texts of an error, by their letters: `S` severity, `C` code, `M` message. */
function errorOf(body: Buffer): Error {
  const fields = new Map(
    body
      .toString("utf8")
      .split("\0")
      .filter((field) => field !== "")
      .map((field) => [field[0], field.slice(1)]),
  );
  return Object.assign(new Error(`PostgreSQL: ${fields.get("M")}`), { code: fields.get("C") });
}

/** SCRAM-SHA-256 (RFC 7677), what the client says. Whether the server has the password too is not asked. */
class Scram {
  readonly first: string = `n=,r=${randomBytes(18).toString("base64")}`;

  proof(password: string, challenge: string): string {
    const given = new Map(challenge.split(",").map((each) => [each[0], each.slice(2)]));
    const salted = pbkdf2Sync(
      password,
      Buffer.from(given.get("s") ?? "", "base64"),
      Number(given.get("i")),
      32,
      "sha256",
    );
    const key = createHmac("sha256", salted).update("Client Key").digest();
    const last = `c=biws,r=${given.get("r")}`;
    const signature = createHmac("sha256", createHash("sha256").update(key).digest())
      .update(`${this.first},${challenge},${last}`)
      .digest();
    return `${last},p=${Buffer.from(key.map((byte, at) => byte ^ signature[at]!)).toString("base64")}`;
  }
}

/** One query over a connection of its own; the values of its rows as texts, null where there is none. */
class Conversation {
  readonly rows: (string | null)[][] = [];
  failure: Error | undefined;
  readonly #socket: Socket;
  readonly #sql: string;
  readonly #password: string;
  readonly #scram = new Scram();
  #asked = false;
  /** The answer came to its end. */
  done = false;

  constructor(socket: Socket, sql: string, password: string) {
    this.#socket = socket;
    this.#sql = sql;
    this.#password = password;
  }

  hears(type: string, body: Buffer): void {
    if (type === "R") this.#authenticate(body);
    else if (type === "D") this.rows.push(rowOf(body));
    else if (type === "E") this.failure ??= errorOf(body);
    else if (type === "Z") {
      this.#socket.write(this.#asked ? message("X") : message("Q", `${this.#sql}\0`));
      this.done = this.#asked;
      this.#asked = true;
    }
  }

  #authenticate(body: Buffer): void {
    const step = body.readInt32BE();
    const first = `n,,${this.#scram.first}`;
    if (step === 10) this.#socket.write(message("p", "SCRAM-SHA-256\0", int32(first.length), first));
    if (step === 11) this.#socket.write(message("p", this.#scram.proof(this.#password, body.toString("utf8", 4))));
  }
}

function rowOf(body: Buffer): (string | null)[] {
  let at = 2;
  return Array.from({ length: body.readInt16BE() }, () => {
    const length = body.readInt32BE(at);
    const value = length < 0 ? null : body.toString("utf8", at + 4, at + 4 + length);
    at += 4 + Math.max(0, length);
    return value;
  });
}

async function opened(port: number, tls: ConnectionOptions | undefined): Promise<Socket> {
  const plain = connect({ port, host: "127.0.0.1" });
  plain.setTimeout(timeoutMs, () => plain.destroy(new Error(`not within ${timeoutMs} ms: PostgreSQL on port ${port}`)));
  await once(plain, "connect");
  if (tls === undefined) return plain;
  plain.write(int32(8, 80_877_103));
  const [answer] = (await once(plain, "data")) as [Buffer];
  if (answer.toString() !== "S") throw new Error(`PostgreSQL on port ${port} speaks no TLS`);
  const secure = connectTls({ socket: plain, host: "localhost", ...tls });
  await once(secure, "secureConnect");
  return secure;
}

/** For what a broker has to be made of, and for its tests: needs no client library. Rejects with the server's `code`. */
export async function postgresCommand(
  port: number,
  sql: string,
  { user = "omnibus", password = "", tls }: PostgresLogin = {},
): Promise<readonly (readonly (string | null)[])[]> {
  const socket = await opened(port, tls);
  const talk = new Conversation(socket, sql, password);
  let waiting = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    waiting = Buffer.concat([waiting, bytes]);
    while (waiting.length >= 5 && waiting.length > waiting.readInt32BE(1)) {
      const end = waiting.readInt32BE(1) + 1;
      talk.hears(String.fromCharCode(waiting[0]!), waiting.subarray(5, end));
      waiting = waiting.subarray(end);
    }
  });
  socket.write(message("", int32(196_608), `user\0${user}\0database\0postgres\0\0`));
  await once(socket, "close");
  if (talk.failure !== undefined) throw talk.failure;
  if (!talk.done) throw new Error(`PostgreSQL on port ${port} closed the connection`);
  return talk.rows;
}
