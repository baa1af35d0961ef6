/** Bare SQLite, both at once: insert a window, commit durably, read it, handle it, commit the cursor, which the next window syncs. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshFile, settler } from "./sqlite-file.ts";

interface Found {
  readonly position: number;
  readonly body: Uint8Array;
}

export const open: Open = ({ messages, window, bytes, directory }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { db, remove } = freshFile(directory);
      const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
      const read = db.prepare("SELECT position, body FROM log WHERE position > ? ORDER BY position LIMIT ?");
      const settle = settler(db, true);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        for (let done = 0; done < messages; done += window) {
          db.exec("BEGIN IMMEDIATE");
          for (let at = done; at < Math.min(done + window, messages); at++)
            insert.run(Buffer.from(JSON.stringify(envelope(at))));
          db.exec("COMMIT");
          await new Promise(setImmediate);
          const rows = read.all(done, window) as unknown as readonly Found[];
          for (const { body } of rows)
            await handler(JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()));
          settle(rows.at(-1)!.position);
          await new Promise(setImmediate);
        }
      });
      remove();
      return sample;
    },
  };
};
