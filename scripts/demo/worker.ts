/** A process of the demo's application: handles events until it is told to stop, or killed. */
import { connect } from "../../src/index.ts";
import { busConfig, type Target } from "./bus-config.ts";
import { startGroups } from "./groups.ts";

export interface WorkerSettings extends Target {
  readonly directory: string;
  readonly worker: number;
  readonly seed: number;
}
export type ToWorker = "fix" | "stop";
export type FromWorker = "ready" | "fixed";

const settings = JSON.parse(process.argv[2] ?? "") as WorkerSettings;
let fixed = false;
const bus = await connect(busConfig(settings, `demo-worker-${settings.worker}`));
const stop = async (): Promise<void> => {
  await bus.close();
  if (process.connected) process.disconnect();
};
const say = (message: FromWorker): void => void process.send?.(message);
process.on("message", (message: ToWorker) => {
  if (message === "stop") void stop();
  else {
    fixed = true;
    say("fixed");
  }
});
process.on("disconnect", () => void stop()); // nobody is left to work for
process.on("SIGINT", () => {}); // Ctrl-C reaches the whole group of processes; the parent says what happens
await startGroups(bus, { ...settings, fixed: () => fixed });
say("ready");
