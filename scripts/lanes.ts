/** Work that is done side by side, each lane in a clone of its own, since tests build and pack in the folder they run in. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { type Ran, run } from "./run.ts";

export interface Job {
  /** Those that take longest begin first. */
  readonly weight: number;
  /** Runs in the clone. */
  readonly work: (folder: string) => Promise<void>;
}

const running = new Set<ChildProcess>();

/** As `run`, without standing still. What it says can be read meanwhile in `.tmp/output.log` of the folder. */
export async function started(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const path = [join(process.cwd(), "node_modules", ".bin"), process.env["PATH"]].join(delimiter);
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, ...env, PATH: path },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const log = join(cwd, ".tmp", "output.log");
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      appendFileSync(log, text);
    });
  const code = await new Promise<number | null>((done) => {
    child.once("error", (error) => void (output += `${command}: ${error.message}\n`));
    child.once("close", done);
  });
  running.delete(child);
  return { ok: code === 0, output: output.trim() };
}

/** A clone of the commit, with this checkout's node_modules. */
function clone(folder: string, commit: string): void {
  const must = (ran: Ran, what: string): void => {
    if (!ran.ok) throw new Error(`${what}: ${ran.output}`);
  };
  must(run("git", ["clone", "--quiet", "--no-checkout", resolve("."), folder]), "git clone");
  must(run("git", ["checkout", "--quiet", "--detach", commit], folder), "git checkout");
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
  appendFileSync(join(folder, ".git", "info", "exclude"), "node_modules\n"); // a link, which .gitignore does not mean
  mkdirSync(join(folder, ".tmp"), { recursive: true });
}

/** Does all jobs, so many at once; the clones are gone when it resolves. */
export async function inLanes(lanes: number, commit: string, jobs: readonly Job[]): Promise<void> {
  const root = resolve(".tmp", `lanes-${process.pid}`);
  const queue = jobs.toSorted((a, b) => b.weight - a.weight);
  const lane = async (n: number): Promise<void> => {
    const folder = join(root, String(n));
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) {
      rmSync(folder, { recursive: true, force: true }); // nothing that the last job built
      clone(folder, commit);
      await job.work(folder);
    }
  };
  const gone = (): void => {
    for (const child of running) child.kill();
    rmSync(root, { recursive: true, force: true });
  };
  const interrupted = (): never => process.exit(130);
  process.once("exit", gone).once("SIGINT", interrupted).once("SIGTERM", interrupted);
  try {
    const ends = await Promise.allSettled(Array.from({ length: Math.min(lanes, queue.length) }, (_, n) => lane(n + 1)));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  } finally {
    gone();
    process.off("exit", gone).off("SIGINT", interrupted).off("SIGTERM", interrupted);
  }
}
