import { expect, it } from "vitest";
import { newWorld } from "../../../test/support/sqlite-world.ts";
import { Database } from "./database.ts";
import { LogFile } from "./log-file.ts";

it.each([4_096, 8_192])(
  "says how long the log is, not the file that it begins anew (pages of %i bytes)",
  (pageSize) => {
    const world = newWorld();
    const raw = world.raw();
    raw.exec(`PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = WAL; CREATE TABLE a (value)`);
    raw.close();
    const database = new Database({ path: world.path, prefix: "t", synchronous: "FULL", create: false });
    const log = new LogFile(`${world.path}-wal`, pageSize);
    const pages = (): number =>
      database.query<{ readonly log: number }>("PRAGMA wal_checkpoint(PASSIVE)").get()?.log ?? 0;
    const insert = (): number => database.query("INSERT INTO a VALUES (1)").run();
    for (let n = 0; n < 5; n += 1) insert();
    expect([log.reaches(5), log.reaches(6)]).toEqual([true, false]);
    expect(pages()).toBe(5);
    expect(log.reaches(5)).toBe(true); // until somebody writes
    insert();
    expect([log.reaches(1), log.reaches(2)]).toEqual([true, false]);
    expect(new LogFile(`${world.path}-none`, pageSize).reaches(1)).toBe(false);
    log.close();
    database.close();
  },
);
