import { profiled } from "./profile.ts";

/** What a scenario is told; plain data, since each side runs in a process of its own. */
export interface Settings {
  readonly driver: string;
  /** In one round. */
  readonly messages: number;
  /** Publishes or requests under way at once. */
  readonly window: number;
  /** Of the JSON data of one event. */
  readonly bytes: number;
  /** For files, made afresh for each round. */
  readonly directory: string;
  /** Of the broker, where the driver has one. */
  readonly url?: string;
  readonly encode?: boolean;
  readonly correlate?: "auto" | "explicit";
  /** Of the group. @default the bus's own: the events of a key one after the other */
  readonly order?: "none";
  /** When the group is made: what is published before that is its past. @default "after" */
  readonly group?: "before" | "after";
  readonly subscriptions?: number;
  /** To which is published in turn. @default one for each subscription */
  readonly topics?: number;
  /** That the stream keeps; beyond it what was handled is forgotten, and publishers wait for the handlers. */
  readonly maxMessages?: number;
  /** Between the end of one message and the next, for latencies. */
  readonly idleMs?: number;
  /** From the beginning of one message to the next, for latencies. */
  readonly everyMs?: number;
  /** Processes that share the work of a group. */
  readonly members?: number;
  /** What a handler takes. */
  readonly handlerMs?: number;
}

/** What one side did in one round. */
export interface Sample {
  /** In the scenario's unit. */
  readonly value: number;
  /** Of this process, user and system, for each message. */
  readonly cpuMicros: number;
  /** Further figures, for the row's settings. */
  readonly notes?: Readonly<Record<string, number>>;
}

export interface Side {
  round(): Promise<Sample>;
}

/** What each module of `ours/` and `bare/` exports as `open`. */
export type Open = (settings: Settings) => Promise<Side> | Side;

/** The rate of `work`, which moves `messages`. */
export async function rate(messages: number, work: () => Promise<unknown>): Promise<Sample> {
  const cpu = process.cpuUsage();
  const started = performance.now();
  await profiled(work);
  const ms = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  return { value: messages / (ms / 1_000), cpuMicros: (user + system) / messages };
}

/** Calls `step` with 0 to `messages` - 1, `window` of them at once. */
export async function inWindows(
  messages: number,
  window: number,
  step: (at: number) => Promise<unknown>,
): Promise<void> {
  for (let done = 0; done < messages; done += window) {
    const open: Promise<unknown>[] = [];
    for (let at = done; at < Math.min(done + window, messages); at++) open.push(step(at));
    await Promise.all(open);
  }
}
