import type { Session } from "./session.ts";
import { numberOf } from "./values.ts";

/** What grows by being written and deleted all the time. */
const tables = ["log", "delayed", "progress", "claimed", "claim", "held", "direct"] as const;
const leastDead = 2_000;
const leastDeadOfLog = 10_000;

/**
 * Makes the room of what was deleted usable again, by whichever process looks first. The server's own does the same once a minute,
 * in which a log takes as much room again as it was written.
 */
export class Vacuum {
  readonly #session: Session;
  /** What the last one left, because somebody's open transaction could still see it. */
  readonly #left = new Map<string, number>();

  constructor(session: Session) {
    this.#session = session;
  }

  async look(): Promise<void> {
    const due: string[] = [];
    for (const [name, dead, rows] of await this.#counts()) {
      const left = Math.min(this.#left.get(name) ?? 0, dead);
      this.#left.set(name, left);
      if (dead - left > Math.max(name === "log" ? leastDeadOfLog : leastDead, rows / 10)) due.push(name);
    }
    if (due.length === 0) return;
    const list = due.map((name) => `{${name}}`).join(", ");
    // one that another process is at is left to it
    await this.#session.apart(`VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF, SKIP_LOCKED) ${list}`);
    for (const [name, dead] of await this.#counts()) if (due.includes(name)) this.#left.set(name, dead);
  }

  async #counts(): Promise<readonly (readonly [name: string, dead: number, rows: number])[]> {
    const { names, desk } = this.#session;
    const columns = tables.map((name) => `('${name}', to_regclass('${names.of(name)}'))`).join(", ");
    const rows = await desk.query(
      `SELECT name, pg_stat_get_dead_tuples(id), pg_stat_get_live_tuples(id) FROM (VALUES ${columns}) AS v (name, id)`,
    );
    return rows.map(([name, dead, live]) => [name ?? "", numberOf(dead), numberOf(live)]);
  }
}
