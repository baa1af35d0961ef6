import { spawn } from "node:child_process";
import { once } from "node:events";

export interface Ended {
  readonly ok: boolean;
  /** Both of its outputs. */
  readonly output: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** @default 600,000 */
  readonly timeoutMs?: number;
}

/** Runs a command to its end without blocking this process. One that is not there is one that failed. */
export async function command(
  executable: string,
  args: readonly string[],
  { env = {}, timeoutMs = 600_000 }: CommandOptions = {},
): Promise<Ended> {
  const child = spawn(executable, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Not spawn's own: its timer stays behind, and with it this process, when there is no such command.
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    // What it started may live on, and hold these open.
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
  }, timeoutMs);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { ok: code === 0, output: output.trim() };
  } catch (error) {
    return { ok: false, output: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** The last line that says something: the reason, mostly. */
export function lastLine(output: string): string {
  return output.trimEnd().split("\n").at(-1)?.trim() ?? "";
}
