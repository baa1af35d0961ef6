import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../../../scripts/brokers/free-ports.ts";
import type { RecoveryBroker } from "../../../src/testing/index.ts";

/** The store of `server.ts`, in a process that can be killed and stopped. */
export async function startServed(leaseMs: number): Promise<RecoveryBroker> {
  const folder = await mkdtemp(join(tmpdir(), "omnibus-served-"));
  const [port] = await freePorts(1, new Set());
  let child: ChildProcess | undefined;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null) return;
    const gone = once(ending, "exit");
    ending.kill(signal);
    await gone;
  };
  const start = async (): Promise<void> => {
    const module = new URL("server.ts", import.meta.url).pathname;
    child = spawn(process.execPath, [module, String(port), join(folder, "bus.db"), String(leaseMs)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(child.stdout!, "data");
  };
  await start();
  return {
    url: `served://127.0.0.1:${port}`,
    start,
    kill: () => end("SIGKILL"),
    pause: async () => void child?.kill("SIGSTOP"),
    resume: async () => void child?.kill("SIGCONT"),
    restart: async () => {
      await end("SIGTERM");
      await start();
    },
    [Symbol.asyncDispose]: async () => {
      await end("SIGKILL");
      await rm(folder, { recursive: true });
    },
  };
}
