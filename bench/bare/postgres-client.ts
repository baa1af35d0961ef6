import { randomUUID } from "node:crypto";
import pg from "pg";

export async function openClient(url: string | undefined): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url! });
  await client.connect();
  return client;
}

/** A log in a table of its own, and how far its one reader is. */
export interface Log {
  /** All in one statement, which is a transaction. */
  readonly add: (bodies: readonly string[]) => Promise<unknown>;
  /** What comes after it, and the reader is there. */
  readonly after: (seq: number, count: number) => Promise<readonly { readonly seq: number; readonly body: string }[]>;
  readonly settle: (seq: number) => Promise<unknown>;
  readonly remove: () => Promise<unknown>;
}

const freshName = (): string => `bare_${randomUUID().replaceAll("-", "")}`;

export async function freshLog(client: pg.Client, name: string = freshName()): Promise<Log> {
  await client.query(`CREATE TABLE ${name} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
    CREATE TABLE ${name}_at (reader text PRIMARY KEY, seq bigint NOT NULL); INSERT INTO ${name}_at VALUES ('bench', 0)`);
  return openLog(client, name);
}

/** The same log by two connections: one adds, the other reads. */
export async function sharedLog(client: pg.Client, other: pg.Client): Promise<readonly [Log, Log]> {
  const name = freshName();
  return [await freshLog(client, name), openLog(other, name)];
}

function openLog(client: pg.Client, name: string): Log {
  const run = async <Row extends pg.QueryResultRow>(what: string, text: string, values: readonly unknown[]) =>
    (await client.query<Row>({ name: `${what} ${name}`, text, values: [...values] })).rows;
  return {
    add: (bodies) => run("add", `INSERT INTO ${name} (body) SELECT unnest($1::text[])`, [bodies]),
    after: async (seq, count) => {
      const text = `WITH settled AS (UPDATE ${name}_at SET seq = $1 WHERE reader = 'bench' AND seq < $1)
        SELECT seq, body FROM ${name} WHERE seq > $1 ORDER BY seq LIMIT $2`;
      const rows = await run<{ readonly seq: string; readonly body: string }>("after", text, [seq, count]);
      return rows.map((row) => ({ seq: Number(row.seq), body: row.body }));
    },
    settle: (seq) => run("settle", `UPDATE ${name}_at SET seq = $1 WHERE reader = 'bench'`, [seq]),
    remove: () => client.query(`DROP TABLE ${name}, ${name}_at`),
  };
}

/** A backlog of that many. */
export async function fill(log: Log, messages: number, bodyOf: (at: number) => string): Promise<void> {
  for (let done = 0; done < messages; done += 4_096)
    await log.add(Array.from({ length: Math.min(4_096, messages - done) }, (_, at) => bodyOf(done + at)));
}

export function notifyAll(client: pg.Client, channel: string, bodies: readonly string[]): Promise<unknown> {
  const text = "SELECT pg_notify($1, body) FROM unnest($2::text[]) body";
  return client.query({ name: "notify", text, values: [channel, bodies] });
}
