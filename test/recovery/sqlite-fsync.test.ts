import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { consume, until } from "../support/driver-harness.ts";
import { newWorld, type SqliteWorld } from "../support/sqlite-world.ts";
import type { ChildInput } from "./sqlite-child.ts";

/** strace is asked for where it may be installed: in CI, and with OMNIBUS_TEST_INSTALL=1. */
function hasStrace(): boolean {
  const there = (): boolean => spawnSync("strace", ["-V"]).status === 0;
  if (there()) return true;
  if (process.platform !== "linux" || (process.env["CI"] === undefined && process.env["OMNIBUS_TEST_INSTALL"] !== "1"))
    return false;
  spawnSync("apt-get", ["update"]);
  spawnSync("apt-get", ["install", "-y", "--no-install-recommends", "strace"], {
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return there();
}
const strace = hasStrace();
if (!strace)
  console.info("skips what a receipt means to the disk: strace is not there; OMNIBUS_TEST_INSTALL=1 installs it");

/** Runs a process that does one thing after another under strace; what it wrote and what strace saw. */
async function traced(
  world: SqliteWorld,
  options: readonly string[],
  rest: Pick<ChildInput, "role" | "count" | "order">,
): Promise<{ readonly output: string; readonly trace: readonly string[] }> {
  const log = join(world.folder, "trace");
  const input: ChildInput = { path: world.path, ...rest };
  const module = new URL("sqlite-child.ts", import.meta.url).pathname;
  const child = spawn(
    "strace",
    ["-f", "-y", "-s", "64", "-o", log, ...options, process.execPath, module, JSON.stringify(input)],
    { stdio: ["pipe", "pipe", "inherit", "ignore"] },
  );
  let output = "";
  child.stdout!.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await once(child, "close");
  return { output, trace: whole(readFileSync(log, "utf8").split("\n")) };
}

/** Calls that strace had to cut in two, because another thread's came between, are put together where they ended. */
function whole(lines: readonly string[]): readonly string[] {
  const begun = new Map<string, string>();
  return lines.flatMap((line) => {
    const [, pid = "", text = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (text.endsWith("<unfinished ...>")) {
      begun.set(pid, text.slice(0, -"<unfinished ...>".length).trimEnd());
      return [];
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    return [resumed === null ? text : `${begun.get(pid) ?? ""}${resumed[1] ?? ""}`];
  });
}

/** Between its last call of the log and each answer nothing of the log is unsynced, and something was synced since `begin`. */
function expectSynced(world: SqliteWorld, trace: readonly string[], count: number): void {
  const log = `<${world.path}-wal>`;
  let unsynced = 0;
  let written = 0;
  let synced = 0;
  let receipts = 0;
  for (const call of trace) {
    if (call.startsWith("pwrite64(") && call.includes(log)) {
      unsynced += 1;
      written += 1;
    } else if (/^f(data)?sync\(/.test(call) && call.includes(log) && call.endsWith("= 0")) {
      unsynced = 0;
      synced += 1;
    } else if (call.startsWith("write(1<") && call.includes('"begin')) {
      written = synced = 0;
    } else if (call.startsWith("write(1<") && call.includes('"receipt')) {
      receipts += 1;
      expect([unsynced, written > 0, synced > 0]).toEqual([0, true, true]);
      written = synced = 0;
    }
  }
  expect(receipts).toBe(count);
}

const calls = ["-e", "trace=pwrite64,write,fdatasync,fsync"];

describe.runIf(strace)("a settlement", () => {
  it.each(["none", "group"] as const)(
    "of a letter, a retry or the note of one is answered only after the log was written and synced (order: %s)",
    async (order) => {
      const world = newWorld();
      const count = 12;
      const { output, trace } = await traced(world, calls, { role: "settle", count, order });
      expect(output.split("\n").filter((line) => /^receipt \d+ done$/.test(line))).toHaveLength(count);
      expectSynced(world, trace, count);
    },
  );
});

describe.runIf(strace)("a receipt", () => {
  it("is written only after the log was: written, synced, and nothing else of it in between", async () => {
    const world = newWorld();
    const count = 20;
    const { output, trace } = await traced(world, calls, { role: "receipt", count });
    expect(output.split("\n").filter((line) => /^receipt \d+ stored$/.test(line))).toHaveLength(count);
    expectSynced(world, trace, count);
  });

  it("is not given when the sync fails: the outcome is unknown, and the next ones are stored", async () => {
    const world = newWorld();
    const count = 20;
    const failing = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO:when=10..12"];
    const { output } = await traced(world, ["-P", `${world.path}-wal`, ...failing], { role: "receipt", count });
    const outcomes = output.split("\n").flatMap((line) => /^receipt (\d+) (\w+)$/.exec(line)?.slice(1, 3) ?? []);
    const of = (outcome: string): readonly string[] =>
      outcomes.filter((_, index) => index % 2 === 0 && outcomes[index + 1] === outcome);
    // The first fails within its commit; the others before they begin, by the copy of the log that has to come first.
    expect([of("unknown").length, of("no").length, of("stored").length]).toEqual([1, 2, count - 3]);
    expect(of("stored")).toContain(String(count - 1));
    const { connection } = await world.connect();
    const { sink, consumption } = await consume(connection, {
      kind: "tail",
      stream: "events",
      from: { at: "oldest" },
      resume: undefined,
    });
    await consumption.wants([">"], []);
    await until(() => sink.messages.length >= count - 3, "what was acknowledged");
    const acked = new Set(of("stored"));
    expect(sink.texts.filter((text) => acked.has(text))).toEqual(of("stored"));
  });
});
