/** Bare SQLite, publish: encode a window of messages, insert them in one transaction, committed durably. */
import { envelopes } from "../message.ts";
import { type Open, rate } from "../side.ts";
import { freshFile } from "./sqlite-file.ts";

export const open: Open = ({ messages, window, bytes, directory }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { db, remove } = freshFile(directory);
      const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
      const sample = await rate(messages, async () => {
        for (let done = 0; done < messages; done += window) {
          db.exec("BEGIN IMMEDIATE");
          for (let at = done; at < Math.min(done + window, messages); at++)
            insert.run(Buffer.from(JSON.stringify(envelope(at))));
          db.exec("COMMIT");
          await new Promise(setImmediate);
        }
      });
      remove();
      return sample;
    },
  };
};
