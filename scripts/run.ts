import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";

export interface Ran {
  readonly ok: boolean;
  readonly output: string;
}

/** Runs a command to its end, with this project's tools (Node 24 among them) first on the path. */
export function run(
  command: string,
  args: readonly string[],
  cwd = ".",
  env: Readonly<Record<string, string>> = {},
  timeoutMs = 0,
): Ran {
  const path = [join(process.cwd(), "node_modules", ".bin"), process.env["PATH"]].join(delimiter);
  const result = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env, PATH: path },
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
  });
  const broken = result.error === undefined ? "" : `${command}: ${result.error.message}\n`;
  return { ok: result.status === 0, output: `${broken}${result.stdout ?? ""}${result.stderr ?? ""}`.trim() };
}
