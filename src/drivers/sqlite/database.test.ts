import { chmodSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { publish, until } from "../../../test/support/driver-harness.ts";
import { newWorld } from "../../../test/support/sqlite-world.ts";

const suffixes = ["", "-wal", "-shm", "-direct", "-direct-wal", "-direct-shm"];
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe("the files", () => {
  it("are for their owner alone, whatever the umask", async () => {
    const before = process.umask(0);
    try {
      const world = newWorld();
      await world.connect();
      expect(suffixes.map((suffix) => mode(world.path + suffix))).toEqual(suffixes.map(() => "600"));
    } finally {
      process.umask(before);
    }
  });

  it("write ahead and sync every commit; the direct one doesn't", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    const client = connection.client as ReturnType<typeof world.raw>;
    expect(client.prepare("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    expect(client.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 2 });
  });

  it("are refused in a folder that everybody may write", async () => {
    const world = newWorld();
    const folder = join(world.folder, "open");
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    await expect(world.connect({ path: join(folder, "bus.db") })).rejects.toMatchObject({ code: "BUS_AUTHENTICATION" });
    chmodSync(folder, 0o1777); // as /tmp is
    await world.connect({ path: join(folder, "bus.db") });
  });

  it("are refused when everybody may write them", async () => {
    const world = newWorld();
    writeFileSync(world.path, "");
    chmodSync(world.path, 0o666);
    await expect(world.connect()).rejects.toMatchObject({ code: "BUS_AUTHENTICATION" });
  });

  it("are refused where no folder is, and where a folder is", async () => {
    const world = newWorld();
    await expect(world.connect({ path: join(world.folder, "none", "bus.db") })).rejects.toMatchObject({
      code: "ENOENT",
    });
    await expect(world.connect({ path: world.folder })).rejects.toMatchObject({ code: "BUS_CONNECTION" });
  });

  it("are those that a link points to", async () => {
    const world = newWorld();
    await world.connect();
    const link = join(world.folder, "link.db");
    symlinkSync(world.path, link);
    const { connection } = await world.connect({ path: link, streams: [] });
    expect(await connection.admin.streams()).toHaveLength(1);
    expect((await connection.ping())["path"]).toBe(world.path);
  });
});

describe("a file that is taken away", () => {
  it("acknowledges nothing more, and starts again in a new one with the same streams", async () => {
    const world = newWorld();
    const { connection, statuses } = await world.connect();
    for (const suffix of suffixes.slice(0, 3)) rmSync(world.path + suffix);
    const [lost] = publish(connection, ["1"]);
    await until(() => lost!.outcome !== "waiting", "an outcome");
    expect([lost!.outcome, (lost!.error as { readonly code: string }).code]).toEqual(["no", "BUS_CONNECTION"]);
    await until(() => statuses.some(({ type }) => type === "connected"), "a new file");
    expect(statuses.map(({ type }) => type)).toEqual(["disconnected", "connected"]);
    const [kept] = publish(connection, ["2"]);
    await until(() => kept!.outcome !== "waiting", "an outcome");
    expect(kept!.outcome).toBe("stored");
    expect(world.count("log_1")).toBe(1);
  });
});
