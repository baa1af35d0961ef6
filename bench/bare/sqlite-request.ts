/** Bare SQLite, requests between two processes: a table each way, unsynced, `fs.watch` on the -wal as the wake-up. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { envelopes } from "../message.ts";
import { inWindows, type Open, rate } from "../side.ts";
import { freshFile } from "./sqlite-file.ts";
import { follow } from "./sqlite-follow.ts";

export const open: Open = ({ messages, window, bytes, directory }) => {
  const envelope = envelopes(bytes);
  return {
    round: async () => {
      const { db, path, remove } = freshFile(directory, "OFF");
      const child = fork(new URL("sqlite-responder.ts", import.meta.url), [path]);
      await once(child, "message");
      const waiting = new Map<number, () => void>();
      const insert = db.prepare("INSERT INTO log (body) VALUES (?)");
      const stop = follow(db, path, "answers", (position, body) => {
        if (JSON.parse(Buffer.from(body).toString()) !== null) waiting.get(position)?.();
        waiting.delete(position);
      });
      let turn: number[] = [];
      const flush = (): void => {
        const batch = turn;
        turn = [];
        db.exec("BEGIN IMMEDIATE");
        for (const at of batch) insert.run(Buffer.from(JSON.stringify(envelope(at))));
        db.exec("COMMIT");
      };
      const request = (at: number): Promise<void> =>
        new Promise((resolve) => {
          waiting.set(at + 1, resolve);
          if (turn.push(at) === 1) setImmediate(flush);
        });
      const sample = await rate(messages, () => inWindows(messages, window, request));
      stop();
      const ended = once(child, "exit");
      child.disconnect();
      await ended;
      remove();
      return sample;
    },
  };
};
