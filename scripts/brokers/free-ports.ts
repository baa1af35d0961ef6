import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Below where systems take the ports of outgoing connections from (32768 on Linux, 49152 elsewhere): there, a client that
 * tries again and again to reach a killed broker would one day be given the broker's own port, and be connected to itself.
 */
const range = { from: 20_000, to: 32_000 };

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Loopback ports on which nothing listens, none of them among `taken`. */
export async function freePorts(count: number, taken: ReadonlySet<number>): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count && tries < 1_000; tries += 1) {
    const port = randomInt(range.from, range.to);
    if (!taken.has(port) && !found.has(port) && (await isFree(port))) found.add(port);
  }
  if (found.size < count) throw new Error(`no free loopback port between ${range.from} and ${range.to}`);
  return [...found];
}
