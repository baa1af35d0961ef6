import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { spawnChild } from "./child.ts";
import { until } from "./until.ts";

const folder = mkdtempSync(join(tmpdir(), "omnibus-child-"));
const path = join(folder, "child.ts");
const side = pathToFileURL(join(import.meta.dirname, "child-side.ts")).href;
writeFileSync(
  path,
  `import { runChild } from ${JSON.stringify(side)};
await runChild<{ readonly greet: string }>(async ({ input, note, onTold, ended }) => {
  note({ op: input.greet });
  onTold((command: string) => {
    note({ told: command });
    if (command === "die") { for (let n = 0; n < 1_000; n++) note({ n }); process.kill(process.pid, "SIGKILL"); }
    if (command === "fail") throw new Error("as told");
  });
  await ended;
  note({ op: "end" });
});`,
);
afterAll(() => rmSync(folder, { recursive: true }));
const start = (): ReturnType<typeof spawnChild> => spawnChild(path, { input: { greet: "hello" } });

describe("spawnChild", () => {
  it("loses nothing of what a process noted before it was killed", async () => {
    await using child = start();
    await until(() => child.lines.length === 1, "the greeting");
    child.tell("die");
    await until(() => child.gone, "its end");
    expect(child.lines.slice(2).map((line) => line["n"])).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
  });

  it("option: ChildOptions.input reaches it, and it is gone at once when it is killed", async () => {
    await using child = start();
    await until(() => child.lines.length === 1, "the greeting");
    await child.kill();
    expect(child.gone).toBe(true);
    expect(() => process.kill(child.pid, 0)).toThrow("ESRCH");
    expect(child.lines.map((line) => line["op"])).toEqual(["hello"]);
  });

  it("option: ChildOptions.onLine hears each line as it comes", async () => {
    const heard: unknown[] = [];
    await using child = spawnChild(path, { input: { greet: "hello" }, onLine: (line) => heard.push(line["op"]) });
    await until(() => heard.length === 1, "the greeting");
    expect([heard, child.lines.length]).toEqual([["hello"], 1]);
  });

  it("lets it end by itself, and gives its exit code", async () => {
    await using child = start();
    await until(() => child.lines.length === 1, "the greeting");
    expect(await child.end()).toBe(0);
    expect(child.lines.at(-1)).toMatchObject({ op: "end" });
  });

  it("ends even when it is asked to before it has begun", async () => {
    await using child = start();
    expect(await child.end()).toBe(0);
    expect(child.lines.map((line) => line["op"])).toEqual(["hello", "end"]);
  });

  it("notes by a clock that this process shares", async () => {
    await using child = start();
    const before = Number(process.hrtime.bigint()) / 1e6;
    await until(() => child.lines.length === 1, "the greeting");
    expect(child.lines[0]?.at).toBeGreaterThan(before);
    expect(child.lines[0]?.at).toBeLessThan(Number(process.hrtime.bigint()) / 1e6);
  });
});
