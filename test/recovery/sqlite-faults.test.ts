import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sqlite } from "../../src/drivers/sqlite/index.ts";
import { silence } from "../../src/testing/until.ts";
import { groupSpec, joinGroup, numbered, publish, until, type Sent } from "../support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../support/sqlite-world.ts";
import type { DriverConnection } from "../../src/driver.ts";

const driver = sqlite({ path: "unused" });
const classify = (error: unknown): ReturnType<typeof driver.classify> => driver.classify(error);
const root = process.getuid?.() === 0;
const outcomes = (sent: readonly Sent[]): Promise<void> =>
  until(() => sent.every(({ outcome }) => outcome !== "waiting"), "every outcome", 20_000);
const rejected = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("was not rejected");
};

/** A file with some messages in it, closed. */
async function filled(world: SqliteWorld): Promise<void> {
  const { connection } = await world.connect();
  await outcomes(
    publish(
      connection,
      numbered(500).map((text) => text.padEnd(300, "x")),
    ),
  );
  await connection.close(AbortSignal.timeout(5_000));
}

/** Publishes until it is refused; what was acknowledged, and the refusal. */
async function fill(connection: DriverConnection): Promise<{ readonly acked: string[]; readonly refused: Sent }> {
  const acked: string[] = [];
  for (let n = 0; ; n += 1) {
    const text = String(n).padEnd(2_000, ".");
    const [sent] = publish(connection, [text]);
    await outcomes([sent!]);
    if (sent!.outcome !== "stored") return { acked, refused: sent! };
    acked.push(text);
  }
}

describe("a file that can't be read", () => {
  it.each([
    [
      "is not SQLite",
      (path: string) => writeFileSync(path, "this is a letter to my aunt\n".repeat(500), { mode: 0o600 }),
    ],
    ["has a broken header", (path: string) => overwrite(path, 20, 60)],
    ["has a broken schema", (path: string) => overwrite(path, 100, 4_000)],
    ["is cut short", (path: string) => truncate(path, 20_000)],
  ])("is refused as corrupt when it %s, and left as it is", async (_, damage) => {
    const world = newWorld();
    await filled(world);
    damage(world.path);
    const before = readFileSync(world.path);
    const error = await rejected(world.connect());
    expect(classify(error)).toEqual({ code: "BUS_CORRUPT", retryable: false });
    expect(readFileSync(world.path).equals(before)).toBe(true);
  });

  it("ends what consumes it, and says so, when the damage is found later", async () => {
    const world = newWorld();
    await filled(world);
    overwrite(world.path, readFileSync(world.path).length - 100_000, 90_000);
    const { connection, statuses } = await world.connect({ streams: [] });
    await connection.ensureGroup(groupSpec("g"));
    const { sink } = await joinGroup(connection, "g");
    await until(
      () => sink.ends.length === 1,
      () => `the end ${sink.messages.length} ${JSON.stringify(statuses)}`,
    );
    expect(classify(sink.ends[0]!.error).code).toBe("BUS_CORRUPT");
    expect(statuses.map(({ type }) => type)).toContain("disconnected");
  });
});

describe("a full disk", () => {
  async function check(world: SqliteWorld, connection: DriverConnection, free: () => void): Promise<void> {
    await connection.ensureGroup(groupSpec("g"));
    const { acked, refused } = await fill(connection);
    expect(acked.length).toBeGreaterThan(3);
    expect([refused.outcome, classify(refused.error)]).toEqual(["no", { code: "BUS_FULL", retryable: true }]);
    free();
    const { consumption, sink } = await joinGroup(connection, "g");
    await until(
      () => sink.messages.length === acked.length,
      () => `${acked.length} messages; ${sink.messages.length}`,
    );
    expect(sink.texts).toEqual(acked); // nothing of what was acknowledged is lost, nothing that was refused is there
    consumption.ack(sink.messages);
    await consumption.flush();
    let sent: readonly Sent[] = [];
    await until(
      () => {
        if (sent.every(({ outcome }) => outcome !== "waiting") && sent[0]?.outcome !== "stored")
          sent = publish(connection, ["more".padEnd(2_000, ".")]);
        return sent[0]?.outcome === "stored";
      },
      () => `room; ${String(sent[0]?.error)}`,
      10_000,
    );
    await until(() => sink.messages.length === acked.length + 1, "the next");
    expect(sink.ends).toEqual([]);
    void world;
  }

  it("refuses and goes on when what was handled makes room, in a file of bounded size", async () => {
    const world = newWorld();
    const { connection } = await world.connect({ maxFileBytes: 1_000_000 });
    await check(world, connection, () => undefined);
  });

  it.runIf(root && process.platform === "linux")(
    "refuses and goes on when space is freed, on a disk of 1 MiB",
    async (context) => {
      const world = newWorld();
      const disk = join(world.folder, "disk");
      mkdirSync(disk);
      try {
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", disk]);
      } catch {
        return context.skip("this machine mounts nothing");
      }
      try {
        const ballast = join(disk, "ballast");
        writeFileSync(ballast, Buffer.alloc(150_000));
        const { connection } = await world.connect({ path: join(disk, "bus.db") });
        await check(world, connection, () => rmSync(ballast));
        await connection.close(AbortSignal.timeout(5_000));
      } finally {
        execFileSync("umount", ["-l", disk]);
      }
    },
  );

  it.runIf(root && process.platform === "linux")("is said when there is no room for a new file", async (context) => {
    const world = newWorld();
    const disk = join(world.folder, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", disk]);
    } catch {
      return context.skip("this machine mounts nothing");
    }
    try {
      const error = await rejected(world.connect({ path: join(disk, "bus.db") }));
      expect(classify(error)).toEqual({ code: "BUS_FULL", retryable: true });
    } finally {
      execFileSync("umount", ["-l", disk]);
    }
  });

  it("keeps settlements that could not be written until there is room", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await connection.ensureGroup(groupSpec("g"));
    publish(connection, numbered(4));
    const { consumption, sink } = await joinGroup(connection, "g");
    await until(() => sink.messages.length === 4, "all");
    const client = connection.client as ReturnType<SqliteWorld["raw"]>;
    const { page_count } = client.prepare("PRAGMA page_count").get() as { readonly page_count: number };
    client.exec(`PRAGMA max_page_count = ${page_count}`);
    const headers = [["history", "h".repeat(900_000)]] as const;
    let settled: readonly string[] | undefined;
    void consumption
      .settle([{ how: "retry", message: sink.messages[0]!, delayMs: 0, attempts: 1, headers }])
      .then((results) => (settled = results));
    consumption.ack(sink.messages.slice(1));
    await silence(() => Number(settled !== undefined), "settled without room", 400);
    client.exec("PRAGMA max_page_count = 1000000");
    await until(() => settled !== undefined, "the settlement");
    expect(settled).toEqual(["done"]);
    await until(() => sink.messages.length === 5, "the retry");
    expect(sink.messages[4]).toMatchObject({ position: "1", attempts: 1 });
  });
});

/** Whether another user may run this very Node. */
const nobodyRuns = root && spawnSync(process.execPath, ["-v"], { uid: 65_534, gid: 65_534, cwd: "/" }).status === 0;
if (!nobodyRuns) console.info("skips another user's files: not root, or nobody else may run this Node");

describe.runIf(nobodyRuns)("another user's files", () => {
  /** Connects as `nobody`; what that user is told. */
  async function asNobody(path: string): Promise<unknown> {
    const script = `
      import { sqlite } from ${JSON.stringify(new URL("../../src/drivers/sqlite/index.ts", import.meta.url).href)};
      import { systemClock } from ${JSON.stringify(new URL("../../src/clock.ts", import.meta.url).href)};
      const driver = sqlite({ path: process.argv[1] });
      const now = new Date();
      const member = { id: "nobody", name: "nobody", host: "h", pid: process.pid, since: now, lastSeen: now, partitions: undefined };
      try {
        await driver.connect({ name: "n", prefix: "omnibus", member, manage: "create", clock: systemClock, signal: new AbortController().signal, status() {}, changed() {} });
        console.log("connected");
        process.exit();
      } catch (error) {
        console.log(JSON.stringify(driver.classify(error)));
      }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script, path], {
      uid: 65_534,
      gid: 65_534,
      cwd: "/",
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] },
    });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await once(child, "close");
    return output.trim() === "connected" ? "connected" : (JSON.parse(output) as unknown);
  }

  it("can't be opened: the error says that it is a matter of rights", async () => {
    const world = newWorld();
    chmodSync(world.folder, 0o755);
    await filled(world);
    expect(await asNobody(world.path)).toEqual({ code: "BUS_AUTHENTICATION", retryable: false });
    chmodSync(world.path, 0o644); // may be read, not written
    expect(await asNobody(world.path)).toMatchObject({ code: "BUS_AUTHENTICATION" });
    chmodSync(world.folder, 0o700);
    expect(await asNobody(world.path)).toEqual({ code: "BUS_AUTHENTICATION", retryable: false });
  });

  it("can't be made in another user's folder, and can in one's own", async () => {
    const world = newWorld();
    chmodSync(world.folder, 0o755);
    expect(await asNobody(world.path)).toEqual({ code: "BUS_AUTHENTICATION", retryable: false });
    const own = join(world.folder, "own");
    mkdirSync(own, { mode: 0o700 });
    chownSync(own, 65_534, 65_534);
    expect(await asNobody(join(own, "bus.db"))).toBe("connected");
  });
});

describe("a process that is killed while it writes", () => {
  it("leaves a log that the next one finds whole", async () => {
    const world = newWorld();
    const { connection } = await world.connect();
    await outcomes(publish(connection, numbered(100)));
    // What a power cut leaves: the files as they are, the shared memory gone, a torn end of the write-ahead log.
    const copy = newWorld();
    copyFileSync(world.path, copy.path);
    copyFileSync(`${world.path}-wal`, `${copy.path}-wal`);
    const log = openSync(`${copy.path}-wal`, "a");
    writeSync(log, Buffer.alloc(5_000, 7));
    closeSync(log);
    const { connection: next } = await copy.connect();
    expect((await next.admin.streams())[0]!.messages).toBe(100);
  });
});

function overwrite(path: string, from: number, length: number): void {
  const file = openSync(path, "r+");
  writeSync(file, Buffer.alloc(length, 0xa5), 0, length, from);
  closeSync(file);
}

function truncate(path: string, length: number): void {
  const file = openSync(path, "r+");
  ftruncateSync(file, length);
  closeSync(file);
}
