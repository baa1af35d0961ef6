import { fork } from "node:child_process";
import { once } from "node:events";
import { connect } from "../../src/index.ts";
import { busConfig } from "./bus-config.ts";
import { startGroups } from "./groups.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./worker.ts";

/** The handlers, wherever they run. */
export interface Application {
  /** Undefined: in this process, which can't be killed. */
  readonly pid: number | undefined;
  /** SIGKILL: no handler ends, nothing is said to the broker. */
  kill(): Promise<void>;
  /** From now on the indexer takes every kind. */
  fix(): Promise<void>;
  stop(): Promise<void>;
  /** Why it ended by itself; undefined while it works. */
  failure(): string | undefined;
}

export async function startInProcess(settings: WorkerSettings): Promise<Application> {
  let fixed = false;
  const bus = await connect(busConfig(settings, "demo-worker"));
  await startGroups(bus, { ...settings, fixed: () => fixed });
  return {
    pid: undefined,
    kill: () => Promise.reject(new Error("the demo would kill itself")),
    fix: async () => void (fixed = true),
    stop: async () => void (await bus.close()),
    failure: () => undefined,
  };
}

/** A child process that runs the TypeScript of `worker.ts` as it is; resolves when its groups are subscribed. */
export async function startProcess(settings: WorkerSettings): Promise<Application> {
  const child = fork(new URL("worker.ts", import.meta.url), [JSON.stringify(settings)]);
  const ended = once(child, "exit");
  let expected = false;
  let why: string | undefined;
  child.on("exit", (code, signal) => {
    if (!expected) why = `worker ${settings.worker} ended by itself (${signal ?? `exit code ${code}`})`;
  });
  const answer = (wanted: FromWorker): Promise<void> =>
    new Promise((resolve, reject) => {
      child.on("message", (message: FromWorker) => message === wanted && resolve());
      void ended.then(() => reject(new Error(why ?? "the worker ended")));
    });
  // One that has just ended can't be told anything; its end is heard of in any case.
  const tell = (message: ToWorker): void => void child.send(message, () => {});
  await answer("ready");
  return {
    pid: child.pid,
    async kill() {
      expected = true;
      child.kill("SIGKILL");
      await ended;
    },
    async fix() {
      const done = answer("fixed");
      tell("fix");
      await done;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      expected = true;
      tell("stop");
      await ended;
    },
    failure: () => why,
  };
}
