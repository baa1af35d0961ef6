import {
  definiteFailures,
  type HistoryRecord,
  inFlightAtKill,
  keyOrder,
  nothingDuplicated,
  nothingInvented,
  nothingLost,
  type Violation,
} from "../../src/testing/index.ts";
import { ordered, tail, unordered } from "./events.ts";

interface Chapter {
  readonly history: HistoryRecord[];
  endedAt: number | undefined;
}

const shownIds = 5;

/**
 * The history of a soak, a chapter at a time: the events that one bus published between two beats, with keys of their own. A
 * chapter is checked and forgotten once it had time enough, so that the history of a long run fits.
 */
export class Ledger {
  readonly violations: string[] = [];
  readonly totals = { acked: 0, handled: 0, retried: 0, letters: 0, unknown: 0, refused: 0, repeated: 0, chapters: 0 };
  /** Kills with something in flight, and without. */
  readonly kills = { valid: 0, invalid: 0 };
  readonly #open = new Map<string, Chapter>();
  readonly #checked = new Set<string>();
  readonly #killed = new Set<string>();

  add(record: HistoryRecord): void {
    const name = chapterOf(record.id);
    if (this.#checked.has(name)) {
      this.#say(`${record.op} of ${record.id} after its chapter was checked`);
      return;
    }
    const chapter = this.#open.get(name) ?? { history: [], endedAt: undefined };
    this.#open.set(name, chapter);
    chapter.history.push(record);
  }

  ended(name: string): void {
    const chapter = this.#open.get(name);
    if (chapter !== undefined) chapter.endedAt ??= performance.now();
  }

  killed(process: string, at: number): void {
    this.#killed.add(process);
    const own: HistoryRecord[] = [];
    const kill: HistoryRecord = { at, process, op: "killed", id: "" };
    for (const { history } of this.#open.values()) {
      own.push(...history.filter((record) => record.process === process));
      history.push(kill);
    }
    const inFlight = inFlightAtKill([...own.toSorted((a, b) => a.at - b.at), kill], process);
    this.kills[inFlight.size > 0 ? "valid" : "invalid"]++;
  }

  /** Checks the chapters that ended so long ago. */
  check(ageMs: number): void {
    for (const [name, { history, endedAt }] of this.#open) {
      if (endedAt === undefined || performance.now() - endedAt < ageMs) continue;
      this.#open.delete(name);
      this.#checked.add(name);
      this.#check(name, history);
    }
  }

  /** Checks what is left, whatever its age. */
  checkAll(): void {
    for (const name of this.#open.keys()) this.ended(name);
    this.check(0);
  }

  #check(name: string, noted: readonly HistoryRecord[]): void {
    const history = noted.toSorted((a, b) => a.at - b.at);
    const touched = new Set(history.filter(({ process }) => this.#killed.has(process)).map(({ id }) => id));
    const found: Violation[] = [
      ...nothingLost(history, { groups: [ordered, unordered, tail] }),
      ...nothingInvented(history),
      ...keyOrder(
        history.filter(({ group, op }) => group === ordered || op === "killed"),
        { repeats: touched.size > 0 },
      ),
      ...nothingDuplicated(history, touched),
      ...definiteFailures(history, new Set()),
    ];
    for (const { invariant, message, ids } of found) {
      this.#say(`chapter ${name}: ${invariant} ${message} ${ids.slice(0, shownIds).join(" ")}`);
      const [first] = ids;
      if (first !== undefined) this.#say(`  ${first}: ${lifeOf(first, history)}`);
    }
    this.#attempts(history, touched);
    const count = (op: HistoryRecord["op"]): number => history.filter((record) => record.op === op).length;
    const handled = history.filter(({ op, group }) => op === "handled" && group !== tail);
    this.totals.chapters++;
    this.totals.acked += count("published");
    this.totals.handled += handled.length;
    this.totals.repeated += handled.length - new Set(handled.map(({ id, group }) => `${group} ${id}`)).size;
    this.totals.unknown += count("publish-unknown");
    this.totals.refused += count("publish-failed");
    this.totals.letters += history.filter(({ op, id }) => op === "handler-failed" && isBad(id)).length;
    this.totals.retried += history.filter(({ op, id }) => op === "handler-failed" && !isBad(id)).length;
  }

  /**
   * Each run is the next attempt, none is paid twice or for nothing. A kill may cost one: what a process was about to run when it was
   * killed may have been running.
   */
  #attempts(history: readonly HistoryRecord[], touched: ReadonlySet<string>): void {
    const runs = Map.groupBy(
      history.filter(({ op, id }) => op === "handling" && !touched.has(id) && !isBad(id)),
      ({ id, group }) => `${group} ${id}`,
    );
    const kills = history.filter(({ op }) => op === "killed").length;
    const wrong = [...runs].filter(([, records]) =>
      records.some(({ attempt = 0 }, index) => {
        return attempt <= (records[index - 1]?.attempt ?? 0) || attempt > index + 1 + kills;
      }),
    );
    if (wrong.length === 0) return;
    const [first, records] = wrong[0] ?? ["", []];
    this.#say(
      `${wrong.length} with wrong attempts, first ${first}: ${records.map(({ attempt }) => attempt).join(", ")}`,
    );
  }

  #say(message: string): void {
    this.violations.push(message);
  }
}

/** What happened to one event, and the kills beside it, in milliseconds from its publish. */
function lifeOf(id: string, history: readonly HistoryRecord[]): string {
  const own = history.filter((record) => record.id === id || record.op === "killed");
  const from = own.find((record) => record.id === id)?.at ?? 0;
  return own
    .map(({ op, at, process, group, attempt }) =>
      [Math.round(at - from), op, group, attempt, `by ${process}`].filter((part) => part !== undefined).join(" "),
    )
    .join("; ");
}

const chapterOf = (id: string): string => id.slice(0, id.indexOf("."));
const isBad = (id: string): boolean => id.includes(".bad.");
