import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect } from "../../src/index.ts";
import { describe, expect, it } from "vitest";
import { main, temporaryBus } from "./run-cli.ts";

/** The command starts when the reader of its output has closed its end, and has said so. */
const closedPipe = `
exec 3>&1
mkfifo "$GATE"
{ read -r _ <"$GATE"; "$@"; echo "$?" >&3; } | { exec 0<&-; echo gone >"$GATE"; }`;
const closedPipes = closedPipe.replace('"$@"', '"$@" 2>&1');
const fullDisk = '"$@" >/dev/full; echo "$?"';

/** In a shell, since the pipes that Node gives to a child are sockets. The exit code is the command's, not the pipe's. */
async function inShell(
  script: string,
  args: readonly string[],
  input = "",
): Promise<{ readonly code: string; readonly stderr: string }> {
  const directory = mkdtempSync(join(tmpdir(), "omnibus-pipe-"));
  try {
    const child = spawn("bash", ["-c", script, "bash", process.execPath, main, ...args], {
      env: { ...process.env, NO_COLOR: "1", OMNIBUS_URL: undefined, GATE: join(directory, "gate") },
      stdio: ["pipe", "pipe", "pipe"],
    });
    child.stdin.end(input);
    const [code, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { code: code.trim(), stderr };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("when nobody reads the output", () => {
  it.each([[["--help"]], [["--version"]], [["dead-letters", "list", "--help"]]])(
    "%j ends quietly with 0",
    async (args) => {
      expect(await inShell(closedPipe, args)).toEqual({ code: "0", stderr: "" });
    },
  );

  it("wrong use ends with 2 all the same, also when nobody hears why", async () => {
    expect(await inShell(closedPipe, ["streams"])).toMatchObject({
      code: "2",
      stderr: expect.stringContaining("Give --url") as string,
    });
    expect(await inShell(closedPipes, ["streams"])).toEqual({ code: "2", stderr: "" });
    expect(await inShell(closedPipes, ["strams"])).toEqual({ code: "2", stderr: "" });
  });

  it("what was done counts: 0 when it was, 1 when it failed", async () => {
    using temporary = temporaryBus();
    const url = ["--url", temporary.url];
    expect(await inShell(closedPipe, ["publish", "a.b", "1", ...url])).toEqual({ code: "0", stderr: "" });
    const lines = `1\n"${"x".repeat(2_000_000)}"\n`;
    const partly = await inShell(closedPipe, ["publish", "a.b", "--lines", ...url], lines);
    expect(partly).toMatchObject({ code: "1", stderr: expect.stringContaining("BUS_TOO_LARGE") as string });
    expect(await inShell(closedPipe, ["streams", ...url])).toEqual({ code: "0", stderr: "" });
    await using bus = await connect(temporary.url);
    expect(await bus.streams.info("events")).toMatchObject({ messages: 2 });
  });

  it("a bus that is down is down: 1, with the reason", async () => {
    using temporary = temporaryBus();
    writeFileSync(temporary.url.slice("sqlite:".length), "no database ".repeat(1_000));
    const down = await inShell(closedPipe, ["health", "--url", temporary.url, "--timeout", "1000"]);
    expect(down).toMatchObject({ code: "1" });
  });
});

it.runIf(process.platform === "linux")("an output that can't be written is a failure that is said once", async () => {
  using temporary = temporaryBus();
  for (const args of [["--help"], ["publish", "a.b", "1", "--url", temporary.url]]) {
    const { code, stderr } = await inShell(fullDisk, args);
    expect({ args, code }).toEqual({ args, code: "1" });
    expect(stderr).toMatch(/^omnibus: ENOSPC: [^\n]+\n$/u);
  }
});
