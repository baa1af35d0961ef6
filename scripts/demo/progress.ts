import type { Application } from "./application.ts";
import type { Entry, JournalReader } from "./journal.ts";
import { groupNames } from "./groups.ts";

/** What the journals say so far, and waiting for them to say more. */
export class Progress {
  readonly entries: Entry[] = [];
  /** Group → ids that were handled or became dead letters. */
  readonly settled: ReadonlyMap<string, Set<string>> = new Map(groupNames.map((name) => [name, new Set<string>()]));
  readonly #handled = new Map(groupNames.map((name) => [name as string, new Set<string>()]));
  readonly #journals: JournalReader;
  readonly #show: (settled: number) => void;
  readonly #stallMs: number;

  constructor(journals: JournalReader, show: (settled: number) => void, stallMs = 60_000) {
    this.#journals = journals;
    this.#show = show;
    this.#stallMs = stallMs;
  }

  get count(): number {
    return [...this.settled.values()].reduce((sum, ids) => sum + ids.size, 0);
  }

  handled(group: string, id: string): boolean {
    return this.#handled.get(group)?.has(id) === true;
  }

  /** True when something new was read. */
  read(): boolean {
    const news = this.#journals.next();
    for (const entry of news) {
      this.entries.push(entry);
      if (entry.outcome === "failed") continue;
      this.settled.get(entry.group)?.add(entry.id);
      if (entry.outcome === "handled") this.#handled.get(entry.group)?.add(entry.id);
    }
    this.#show(this.count);
    return news.length > 0;
  }

  /** True when `done` came true; false when nothing happened for a minute or the worker ended by itself. */
  async until(
    done: () => boolean | Promise<boolean>,
    application: () => Application | undefined,
    everyMs = 20,
  ): Promise<boolean> {
    let quietSince = performance.now();
    for (;;) {
      if (this.read()) quietSince = performance.now();
      if (await done()) return true;
      if (application()?.failure() !== undefined || performance.now() - quietSince > this.#stallMs) return false;
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  }
}
