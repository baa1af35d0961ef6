/** Bare SQLite, consume: read a window, parse, await the handler for each, commit the cursor, synced like ours. */
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
      db.exec("BEGIN");
      for (let at = 0; at < messages; at++) insert.run(Buffer.from(JSON.stringify(envelope(at))));
      db.exec("COMMIT");
      const read = db.prepare("SELECT position, body FROM log WHERE position > ? ORDER BY position LIMIT ?");
      const settle = settler(db);
      let handled = 0;
      const handler = async (event: unknown): Promise<void> => void (handled += event === null ? 0 : 1);
      const sample = await rate(messages, async () => {
        for (let position = 0; position < messages;) {
          const rows = read.all(position, window) as unknown as readonly Found[];
          for (const { body } of rows)
            await handler(JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString()));
          position = rows.at(-1)!.position;
          settle(position);
          await new Promise(setImmediate);
        }
      });
      remove();
      return sample;
    },
  };
};
