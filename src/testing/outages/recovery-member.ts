import { type BusConfig, connect, defineEvent, Reject, typed } from "../../index.ts";
import { type ChildSide, runChild } from "../child-side.ts";
import type { Item } from "../lab.ts";

/** What the suite tells a member in a process of its own. */
export interface RecoveryMemberInput {
  readonly url: string;
  readonly prefix: string;
  readonly group: string;
  readonly order: "group" | "none";
  /** The type that it handles. */
  readonly type: string;
  /** How long a handler takes; "told": until the suite says how it is to end. */
  readonly work: number | "told";
  readonly concurrency: number;
  /** @default as the bus has it */
  readonly maxAttempts?: number | undefined;
}

/**
 * All that the module does that is given as `RecoveryUnderTest.member`: connects a bus with this configuration, joins a group and
 * notes what its handlers do.
 *
 * @example
 * await runRecoveryMember((url) => ({ driver: mine({ url }) }));
 */
export function runRecoveryMember(config: (url: string) => BusConfig): Promise<void> {
  return runChild<RecoveryMemberInput>((child) => member(config(child.input.url), child));
}

async function member(
  config: BusConfig,
  { input, note, onTold, ended }: ChildSide<RecoveryMemberInput>,
): Promise<void> {
  const { prefix, group, order, work, concurrency, maxAttempts } = input;
  const bus = await connect({ ...config, prefix });
  const told = Promise.withResolvers<void>();
  onTold((command) => {
    if (command === "go on") told.resolve();
  });
  const item = defineEvent(input.type, { schema: typed<Item>() });
  await bus.subscribe(
    item,
    async ({ id, key, data }, { attempt }) => {
      const record = { id, key, group, attempt, sequence: data.n, hash: data.text };
      note({ op: "handling", ...record });
      if (data.text === "kill") process.kill(process.pid, "SIGKILL");
      if (work === "told") await told.promise;
      else await new Promise((resolve) => setTimeout(resolve, work));
      if (data.text === "reject late") {
        note({ op: "handler-failed", ...record });
        throw new Reject("too late");
      }
      note({ op: "handled", ...record });
    },
    { group, order, concurrency, timeoutMs: 300_000, ...(maxAttempts === undefined ? {} : { retry: { maxAttempts } }) },
  );
  note({ op: "ready" });
  await ended;
  await bus.close();
}
