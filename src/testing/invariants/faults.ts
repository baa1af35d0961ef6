import type { HistoryRecord, Violation } from "./history.ts";

/** Warnings that are never right, whatever the fault. */
const loudest = [
  "MaxListenersExceededWarning",
  "TimeoutOverflowWarning",
  "TimeoutNaNWarning",
  "TimeoutNegativeWarning",
];

/** Listens to this process until disposed: rejections that nobody handled, and warnings that mean a leak. */
export class ProcessWatch implements Disposable {
  readonly complaints: string[] = [];
  readonly #rejection = (reason: unknown): void => void this.complaints.push(`unhandledRejection: ${String(reason)}`);
  readonly #warning = (warning: Error): void => {
    if (loudest.includes(warning.name)) this.complaints.push(`${warning.name}: ${warning.message}`);
  };

  constructor() {
    process.on("unhandledRejection", this.#rejection);
    process.on("warning", this.#warning);
  }

  [Symbol.dispose](): void {
    process.off("unhandledRejection", this.#rejection);
    process.off("warning", this.#warning);
  }
}

/** I11: every fault was said, in the words that the documentation promises, and the process had nothing to complain of. */
export function loud(
  said: readonly string[],
  promised: readonly string[],
  complaints: readonly string[] = [],
): Violation[] {
  const silent = promised.filter((each) => !said.includes(each));
  return [
    ...silent.map((each): Violation => ({ invariant: "I11", message: `nothing said ${each}`, ids: [] })),
    ...complaints.map((message): Violation => ({ invariant: "I11", message, ids: [] })),
  ];
}

export interface Injected {
  readonly reconnects?: number | undefined;
  readonly redeliveries?: number | undefined;
  readonly unknown?: number | undefined;
  readonly kills?: number | undefined;
}

/** I12: the fault happened, at least that often; else the run is invalid, which is not passed. */
export function faultHappened(history: readonly HistoryRecord[], least: Injected): Violation[] {
  const count = (op: HistoryRecord["op"]): number => history.filter((record) => record.op === op).length;
  const starts = history.filter((record) => record.op === "handling");
  const happened: Required<{ [Name in keyof Injected]: number }> = {
    reconnects: count("reconnected"),
    redeliveries: starts.length - new Set(starts.map((record) => `${record.group}/${record.id}`)).size,
    unknown: count("publish-unknown"),
    kills: count("killed"),
  };
  return (Object.keys(least) as (keyof Injected)[])
    .filter((name) => happened[name] < (least[name] ?? 0))
    .map((name) => ({ invariant: "I12", message: `invalid: ${happened[name]} ${name} of ${least[name]}`, ids: [] }));
}

/** Runs that had begun and not ended in a process when it was killed: what must come again, and nothing else may. */
export function inFlightAtKill(history: readonly HistoryRecord[], killed: string): Set<string> {
  const open = new Set<string>();
  for (const { op, process, id } of history) {
    if (process !== killed) continue;
    if (op === "killed") return open;
    if (op === "handling") open.add(id);
    if (op === "handled" || op === "handler-failed") open.delete(id);
  }
  return open;
}
