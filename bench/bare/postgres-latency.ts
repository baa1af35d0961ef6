/** Bare PostgreSQL, latency: insert and notify in one transaction, a listener on a connection of its own reads, parses, calls the handler, settles. */
import { randomUUID } from "node:crypto";
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshLog, openClient } from "./postgres-client.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const [client, reader] = await Promise.all([openClient(settings.url), openClient(settings.url)]);
      const name = `bare_${randomUUID().replaceAll("-", "")}`;
      const log = await freshLog(client, name);
      let woken: () => void = () => {};
      reader.on("notification", () => woken());
      await reader.query(`LISTEN ${name}`);
      let last = 0;
      const text = `WITH added AS (INSERT INTO ${name} (body) VALUES ($1) RETURNING seq) SELECT pg_notify('${name}', '') FROM added`;
      const sample = await latencies(settings, async (at) => {
        const coming = new Promise<void>((resolve) => (woken = resolve));
        const started = performance.now();
        const added = client.query({ name: "add", text, values: [JSON.stringify(envelope(at))] });
        await coming;
        const read = `SELECT seq, body FROM ${name} WHERE seq > $1 ORDER BY seq LIMIT 256`;
        const { rows } = await reader.query<{ seq: string; body: string }>({
          name: "read",
          text: read,
          values: [last],
        });
        const event: unknown = JSON.parse(rows[0]!.body);
        const micros = event === null ? 0 : (performance.now() - started) * 1_000;
        last = Number(rows[0]!.seq);
        await reader.query({ name: "at", text: `UPDATE ${name}_at SET seq = $1`, values: [last] });
        await added;
        return micros;
      });
      await log.remove();
      await Promise.all([client.end(), reader.end()]);
      return sample;
    },
  };
};
