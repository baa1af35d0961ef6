/** The other process of the bare request bench: answers each request with itself. */
import { openFile } from "./sqlite-file.ts";
import { follow } from "./sqlite-follow.ts";

const path = process.argv[2] ?? "";
const db = openFile(path, "OFF");
const insert = db.prepare("INSERT INTO answers (position, body) VALUES (?, ?)");
let turn: (readonly [number, Buffer])[] = [];
const flush = (): void => {
  const batch = turn;
  turn = [];
  db.exec("BEGIN IMMEDIATE");
  for (const [position, body] of batch) insert.run(position, body);
  db.exec("COMMIT");
};
const handler = async (request: unknown): Promise<unknown> => request;
const stop = follow(db, path, "log", (position, body) => {
  void handler(JSON.parse(Buffer.from(body).toString())).then((answer) => {
    if (turn.push([position, Buffer.from(JSON.stringify(answer))]) === 1) setImmediate(flush);
  });
});
process.on("disconnect", () => {
  stop();
  db.close();
});
process.send?.("ready");
