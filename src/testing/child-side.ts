import { writeSync } from "node:fs";
import { createInterface } from "node:readline";

export interface ChildSide<Input> {
  readonly input: Input;
  /** Noted before it returns: a kill in the next instant does not lose it. */
  readonly note: (record: Readonly<Record<string, unknown>>) => void;
  /** Called with each line that the parent tells. */
  readonly onTold: (listener: (command: string) => void) => void;
  /** Aborted when the parent asks this process to end, or is gone itself. */
  readonly signal: AbortSignal;
  /** Resolves when the signal aborts, or has. */
  readonly ended: Promise<void>;
}

/** What a module started by `spawnChild` calls: runs `main`, and ends the process when that resolves. */
export async function runChild<Input>(main: (child: ChildSide<Input>) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const listeners: ((command: string) => void)[] = [];
  const ended = new Promise<void>((resolve) => controller.signal.addEventListener("abort", () => resolve()));
  const commands = createInterface({ input: process.stdin });
  commands.on("line", (command) => {
    for (const listener of listeners) listener(command);
  });
  commands.on("close", () => controller.abort());
  await main({
    input: JSON.parse(process.argv[2] ?? "null") as Input,
    note: (record) =>
      void writeSync(3, `${JSON.stringify({ ...record, at: Number(process.hrtime.bigint()) / 1e6 })}\n`),
    onTold: (listener) => void listeners.push(listener),
    signal: controller.signal,
    ended,
  });
  process.exit(0);
}
