import { afterEach, expect } from "vitest";
import type { OutMessage } from "../../src/driver.ts";
import { loadClient } from "../../src/drivers/postgres/client.ts";
import { Lanes } from "../../src/drivers/postgres/lanes.ts";
import type { Link } from "../../src/drivers/postgres/link.ts";
import { prepareLayout } from "../../src/drivers/postgres/migrate.ts";
import { Names } from "../../src/drivers/postgres/names.ts";
import { OwnLink } from "../../src/drivers/postgres/own-link.ts";
import { Sender } from "../../src/drivers/postgres/sender.ts";
import { until } from "../../src/testing/until.ts";

/** The driver's sender by itself, over connections that a test has in its hands. */
let place = "";
export const worldsAt = (url: string | undefined): void => void (place = url ?? "");

const links: OwnLink[] = [];
afterEach(() => {
  for (const link of links.splice(0)) link.destroy();
});

export async function connect(database?: string): Promise<OwnLink> {
  const url = new URL(place);
  if (database !== undefined) url.pathname = `/${database}`;
  const link = await OwnLink.open(await loadClient(), { connectionString: url.href }, () => undefined);
  links.push(link);
  return link;
}

let count = 0;
export const clock: { now(): number; ticks(): number } = {
  now: () => performance.timeOrigin + performance.now(),
  ticks: () => performance.now(),
};

export interface LogWorld {
  readonly names: Names;
  readonly link: OwnLink;
  readonly sender: (link?: Link, dedupeWindowMs?: number) => Sender;
}

/** Four partitions of a stream. */
export async function world(limits: { readonly bytes?: number; readonly messages?: number } = {}): Promise<LogWorld> {
  const link = await connect();
  const names = new Names("public", `log-${process.pid}-${(count += 1)}`);
  await prepareLayout(link, names, "create");
  await link.query(
    names.fill(`WITH made AS (INSERT INTO {stream} (name, queue, topics, partitions, max_age, max_bytes, max_messages, when_full, idle_group)
      VALUES ('events', false, '[">"]', 4, 1000000, $1, $2, 'reject', 1000000) RETURNING id)
      INSERT INTO {part} (stream, partition) SELECT id, g FROM made, generate_series(0, 3) g`),
    [String(limits.bytes ?? 2 ** 30), limits.messages === undefined ? null : String(limits.messages)],
  );
  return {
    names,
    link,
    sender: (other = link, dedupeWindowMs = 120_000) =>
      new Sender(other, { names, lanes: new Lanes(names), dedupeWindowMs, clock }),
  };
}

export type Told = readonly ["stored", string | undefined, boolean] | readonly ["no" | "unknown", unknown];
export interface SentMessage {
  readonly message: OutMessage;
  readonly told: Told[];
}

let ids = 0;
export function out(change: Partial<OutMessage> = {}): SentMessage {
  const told: Told[] = [];
  const id = `id-${(ids += 1)}`;
  const message: OutMessage = {
    to: { kind: "topic", stream: "events", topic: "orders.placed" },
    id,
    brokerId: id,
    key: "k",
    hash: 0,
    replyTo: undefined,
    notBefore: undefined,
    expiresAt: undefined,
    durable: true,
    priority: 1,
    headers: [],
    body: Buffer.from(id),
    value: undefined,
    stored: (position, duplicate = false) => void told.push(["stored", position, duplicate]),
    failed: (stored, error) => void told.push([stored, error]),
    ...change,
  };
  return { message, told };
}

/** All are told once; gives what. */
export async function send(sender: Sender, batch: readonly SentMessage[]): Promise<readonly Told[]> {
  sender.send(batch.map(({ message }) => message));
  await until(() => batch.every(({ told }) => told.length > 0), "all to be completed");
  for (const { told } of batch) expect(told).toHaveLength(1);
  return batch.map(({ told }) => told[0]!);
}
