import { copyFileSync, statSync, truncateSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { groupSpec, joinGroup, outgoing, toTopic, until } from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

/** What is on the disk for certain when a publish is acknowledged: the log as long as it was then. */
interface Cut {
  readonly acknowledged: number;
  readonly bytes: number;
}

/**
 * What order commits have in the log, and what a bus makes of a log that ends at one of them. That they are synced is for
 * test/recovery/sqlite-fsync.test.ts: the length of the log is taken here for what is on the disk.
 */
describe.each(["group", "none"] as const)("a power cut, in a group of order %s", (order) => {
  it("takes no publish that was acknowledged; what was settled since is delivered again", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g", { order }));
    const { sink, consumption } = await joinGroup(connection, "g");
    const cuts: Cut[] = [];
    for (let n = 1; n <= 30; n += 1) {
      const { message } = outgoing(toTopic("a"), String(n));
      const stored = message.stored.bind(message);
      message.stored = (...receipt) => {
        cuts.push({ acknowledged: n, bytes: statSync(`${world.path}-wal`).size });
        stored(...receipt);
      };
      connection.send([message]);
      await until(() => sink.messages.length === n, `message ${n}`);
      consumption.ack(sink.messages.slice(-1));
      await consumption.flush();
    }
    const settled = statSync(`${world.path}-wal`).size;
    expect(settled).toBeGreaterThan(cuts.at(-1)!.bytes);
    for (const { acknowledged, bytes } of [cuts[9]!, cuts.at(-1)!]) {
      const after = newWorld();
      copyFileSync(world.path, after.path);
      copyFileSync(`${world.path}-wal`, `${after.path}-wal`);
      truncateSync(`${after.path}-wal`, bytes);
      expect(after.count("log_1")).toBe(acknowledged);
      const database = after.raw();
      database.exec("UPDATE omnibus_process SET seen = 0"); // whose number is that of a living process: ours
      database.close();
      const { connection: next } = await after.connect({ streams: [] });
      await next.admin.recoverGroup?.("g", 1_000);
      const again = await joinGroup(next, "g");
      await until(() => again.sink.messages.length > 0, "what was not settled there");
      expect(again.sink.texts.at(-1)).toBe(String(acknowledged));
    }
  });
});
