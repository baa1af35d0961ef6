import { randomUUID } from "node:crypto";
import { createClient } from "redis";

export type Client = Awaited<ReturnType<typeof openClient>>;

/** The client as its page shows it, with what a careful program sets: nothing is kept in a queue while it is away. */
export async function openClient(url: string | undefined) {
  const client = createClient({ url: url!, disableOfflineQueue: true });
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** A stream of its own with a group at its beginning, and what removes it. */
export async function freshStream(client: Client): Promise<{ readonly key: string; remove: () => Promise<void> }> {
  const key = `bench-bare:${randomUUID()}`;
  await client.xGroupCreate(key, "bench", "0", { MKSTREAM: true });
  return { key, remove: async () => void (await client.unlink(key)) };
}

interface Entry {
  readonly id: string;
  readonly message: Readonly<Record<string, string>>;
}

/** What is there for the group's one consumer, at most `count`; waits for it when `block` is given. */
export async function readGroup(client: Client, key: string, count: number, block?: number): Promise<readonly Entry[]> {
  const options = block === undefined ? { COUNT: count } : { COUNT: count, BLOCK: block };
  const found = (await client.xReadGroup("bench", "one", { key, id: ">" }, options)) as
    | readonly { readonly messages: readonly Entry[] }[]
    | null;
  return found?.[0]?.messages ?? [];
}

/** A backlog of that many, written in windows. */
export async function fill(
  client: Client,
  key: string,
  messages: number,
  bodyOf: (at: number) => string,
): Promise<void> {
  for (let done = 0; done < messages; done += 1_024) {
    const open: Promise<unknown>[] = [];
    for (let at = done; at < Math.min(done + 1_024, messages); at++)
      open.push(client.xAdd(key, "*", { b: bodyOf(at) }));
    await Promise.all(open);
  }
}
