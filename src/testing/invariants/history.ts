/** What happened to a message, as the test saw it; never written by the process under test alone. */
export type Operation =
  | "publish-started"
  | "published"
  | "publish-failed"
  | "publish-unknown"
  | "handling"
  | "handled"
  | "handler-failed"
  | "settled"
  | "released"
  | "dead-lettered"
  | "dropped"
  | "effect"
  | "killed"
  | "reconnected";

export interface HistoryRecord {
  /** Monotonic, one clock for all processes of a history. */
  readonly at: number;
  readonly process: string;
  readonly op: Operation;
  /** The event's; of "killed" and "reconnected" empty. */
  readonly id: string;
  readonly group?: string | undefined;
  readonly key?: string | undefined;
  /** Of its publisher, or of its key: from 0, without gaps. */
  readonly sequence?: number | undefined;
  readonly attempt?: number | undefined;
  /** Grows with each change of owner. */
  readonly epoch?: number | undefined;
  /** Of the body. */
  readonly hash?: string | undefined;
}

export type InvariantName = `I${1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12}`;

export interface Violation {
  readonly invariant: InvariantName;
  readonly message: string;
  readonly ids: readonly string[];
}

export function idsOf(history: readonly HistoryRecord[], ...ops: readonly Operation[]): Set<string> {
  return new Set(history.filter((record) => ops.includes(record.op)).map((record) => record.id));
}

export function groupsOf(history: readonly HistoryRecord[]): Set<string | undefined> {
  return new Set(
    history
      .filter(({ op }) => op === "handling" || op === "handled" || op === "dead-lettered")
      .map((record) => record.group),
  );
}

/** The counters that every report of a fault prints. */
export function summary(history: readonly HistoryRecord[]): Readonly<Record<string, number>> {
  const count = (op: Operation): number => history.filter((record) => record.op === op).length;
  const once = new Set(history.filter(({ op }) => op === "handled").map(({ group, id }) => `${group}/${id}`));
  const acked = idsOf(history, "published");
  const handled = idsOf(history, "handled");
  return {
    attempted: idsOf(history, "publish-started").size,
    acked: acked.size,
    failed: count("publish-failed"),
    unknown: count("publish-unknown"),
    handled: handled.size,
    deadLettered: idsOf(history, "dead-lettered").size,
    duplicates: count("handled") - once.size,
    recovered: [...handled].filter((id) => !acked.has(id)).length,
    kills: count("killed"),
  };
}
