import type { ProcessState } from "./process-identity.ts";

/** One server of a broker, as a process or in a container. Its files and data outlive it until the broker is removed. */
export interface Server {
  /** Resolves when it was started, which is before it is ready. */
  start(): Promise<void>;
  /** Asks it to end, and kills it when it has not within twenty seconds. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay, nothing answers. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  state(): Promise<ProcessState>;
  /** Of all its starts. */
  log(): Promise<string>;
}
