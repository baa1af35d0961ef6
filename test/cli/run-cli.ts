import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const main: string = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly ended: Promise<CliResult>;
  /** Resolves when standard output (or error) has had the text. */
  saw(text: string): Promise<void>;
}

/** Starts the command line as a user's shell would: a process, the TypeScript as it is. */
export function startCli(
  args: readonly string[],
  options: { readonly input?: string; readonly env?: Record<string, string | undefined> } = {},
): RunningCli {
  const env = { ...process.env, NO_COLOR: "1", OMNIBUS_URL: undefined, ...options.env };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  const watchers = new Set<() => void>();
  const seen = (): void => watchers.forEach((look) => look());
  child.stdout.setEncoding("utf8").on("data", (text: string) => ((stdout += text), seen()));
  child.stderr.setEncoding("utf8").on("data", (text: string) => ((stderr += text), seen()));
  child.stdin.on("error", () => {}); // it ended without reading
  child.stdin.end(options.input ?? "");
  const ended = new Promise<CliResult>((resolve) =>
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
  return {
    child,
    ended,
    saw: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!stdout.includes(text) && !stderr.includes(text)) return;
          watchers.delete(look);
          resolve();
        };
        watchers.add(look);
        void ended.then(() => reject(new Error(`ended without "${text}": ${stdout}${stderr}`)));
        look();
      }),
  };
}

export function cli(args: readonly string[], options?: Parameters<typeof startCli>[1]): Promise<CliResult> {
  return startCli(args, options).ended;
}

/** The JSON lines of an output. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export interface TemporaryBus extends Disposable {
  readonly url: string;
}

export function temporaryBus(): TemporaryBus {
  const directory = mkdtempSync(join(tmpdir(), "omnibus-cli-"));
  return {
    url: `sqlite:${join(directory, "bus.db")}`,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}
