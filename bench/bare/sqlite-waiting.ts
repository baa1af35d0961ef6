/** Bare SQLite, a backlog: read a window at a time, a slow handler at its end. */
import { setTimeout as wait } from "node:timers/promises";
import { envelopes } from "../message.ts";
import type { Open } from "../side.ts";
import { freshFile } from "./sqlite-file.ts";

export const open: Open = ({ messages, bytes, window, directory }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { db, remove } = freshFile(directory);
      const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
      db.exec("BEGIN");
      for (let at = 0; at < messages; at++) insert.run(Buffer.from(JSON.stringify(envelope(at))));
      db.exec("COMMIT");
      const read = db.prepare("SELECT position, body FROM log WHERE position > ? ORDER BY position LIMIT ?");
      const cpu = process.cpuUsage();
      let position = 0;
      for (const until = performance.now() + 1_000; performance.now() < until;) {
        const rows = read.all(position, window) as unknown as readonly {
          readonly position: number;
          readonly body: Uint8Array;
        }[];
        await Promise.all(rows.map(({ body }) => wait(JSON.parse(Buffer.from(body).toString()) === null ? 0 : 2)));
        position = rows.at(-1)?.position ?? 0;
      }
      globalThis.gc?.();
      const { user, system } = process.cpuUsage(cpu);
      const value = process.memoryUsage.rss() / 2 ** 20;
      remove();
      return { value, cpuMicros: (user + system) / position };
    },
  };
};
