import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { ManualClock } from "../../../test/support/manual-clock.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

it("takes over from the dead with its first look, not with the next", async () => {
  const world = newWorld();
  await world.connect({ clock: new ManualClock() });
  const { pid } = spawnSync(process.execPath, ["-e", ""]); // ended by now
  const database = world.raw();
  database.exec(
    `INSERT INTO omnibus_process (member, name, host, pid, started, space, since, seen, beat)
     SELECT 'dead', 'dead', host, ${pid}, started, space, since, seen, 0 FROM omnibus_process`,
  );
  database.close();
  const dead = (): number => world.rows("SELECT 1 FROM omnibus_process WHERE member = 'dead'").length;
  expect(dead()).toBe(1);
  const clock = new ManualClock();
  await world.connect({ clock, streams: [], leaseMs: 60_000 });
  await clock.pass(100);
  expect(dead()).toBe(0);
});
