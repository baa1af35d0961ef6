/** Bare SQLite, latency: insert and commit durably, read it back, parse, call the handler, commit the cursor, which the next one syncs. */
import { latencies } from "../latency.ts";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshFile, settler } from "./sqlite-file.ts";

export const open: Open = (settings) => {
  const envelope = envelopes(settings.bytes);
  return {
    round: async () => {
      const { db, remove } = freshFile(settings.directory);
      const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
      const read = db.prepare("SELECT position, body FROM log WHERE position > ? ORDER BY position LIMIT 1024");
      const settle = settler(db, true);
      let position = 0;
      const sample = await latencies(settings, async (at) => {
        const started = performance.now();
        insert.run(Buffer.from(JSON.stringify(envelope(at))));
        await new Promise(setImmediate);
        const [row] = read.all(position) as unknown as readonly {
          readonly position: number;
          readonly body: Uint8Array;
        }[];
        const event: unknown = JSON.parse(Buffer.from(row!.body).toString());
        const micros = event === null ? 0 : (performance.now() - started) * 1_000;
        position = row!.position;
        settle(position);
        return micros;
      });
      remove();
      return sample;
    },
  };
};
