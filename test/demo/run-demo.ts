import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../scripts/demo/main.ts", import.meta.url));

export const small: readonly string[] = ["--events", "400", "--repositories", "40"];

export function demo(
  args: readonly string[],
  fault?: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  // before Node 24 it says that SQLite is experimental
  const options = `${process.env["NODE_OPTIONS"] ?? ""} --disable-warning=ExperimentalWarning`;
  const env = { ...process.env, NODE_OPTIONS: options, OMNIBUS_DEMO_FAULT: fault };
  const child = spawn(process.execPath, [main, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve) =>
    child.on("close", (code) => {
      const kept = /^kept +(\S+)$/mu.exec(output)?.[1]; // for whoever looks into what went wrong
      if (kept !== undefined) rmSync(kept, { recursive: true, force: true });
      resolve({ code, output });
    }),
  );
}
