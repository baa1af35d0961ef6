import type { Database, Query } from "./database.ts";

export interface DelayedRow {
  readonly id: number;
  readonly due: number;
  readonly stream: number;
  readonly partition: number;
  readonly topic: string;
  readonly key: string | null;
  readonly event: string;
  readonly expires: number | null;
  readonly headers: string | null;
  readonly body: Uint8Array;
}

export interface DelayedTopic {
  readonly stream: number;
  readonly topic: string;
  readonly count: number;
  /** Of these, not due yet: the others wait for room. */
  readonly later: number;
}

export interface ScheduledRow {
  readonly id: number;
  readonly due: number;
  readonly event: string;
  readonly topic: string;
}

/** Publishes that are not to be seen yet. Whichever process is there moves them into their log when they are due. */
export class Delayed {
  readonly #add: Query;
  readonly #due: Query<DelayedRow>;
  readonly #remove: Query;
  readonly #next: Query<{ readonly due: number | null }>;
  readonly #topics: Query<DelayedTopic>;
  readonly #page: Query<ScheduledRow>;
  readonly #cancel: Query;

  constructor(database: Database) {
    this.#add = database.query(
      "INSERT INTO {delayed} (due, stream, partition, topic, key, event, expires, headers, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#due = database.query(
      "SELECT * FROM {delayed} WHERE due <= ? AND stream NOT IN (SELECT value FROM json_each(?)) ORDER BY due, id LIMIT ?",
    );
    this.#remove = database.query("DELETE FROM {delayed} WHERE id = ?");
    this.#next = database.query("SELECT min(due) AS due FROM {delayed}");
    this.#page = database.query(
      "SELECT id, due, event, topic FROM {delayed} WHERE due >= ?1 AND (due > ?1 OR id > ?2) ORDER BY due, id LIMIT ?3",
    );
    this.#cancel = database.query("DELETE FROM {delayed} WHERE event = ?");
    this.#topics = database.query(
      "SELECT stream, topic, count(*) AS count, sum(due > ?) AS later FROM {delayed} GROUP BY stream, topic",
    );
  }

  add(
    due: number,
    stream: number,
    partition: number,
    topic: string,
    key: string | null,
    event: string,
    expires: number | null,
    headers: string | null,
    body: Uint8Array,
  ): number {
    return this.#add.insert(due, stream, partition, topic, key, event, expires, headers, body);
  }

  /** Soonest first, of other streams than those. */
  due(now: number, limit: number, but: Iterable<number>): DelayedRow[] {
    return this.#due.all(now, JSON.stringify([...but]), limit);
  }

  remove(id: number): void {
    this.#remove.run(id);
  }

  /** When the next one is due, by the wall clock. */
  next(): number | undefined {
    return this.#next.get()?.due ?? undefined;
  }

  /** Those behind a place, soonest first. */
  page(due: number, id: number, limit: number): ScheduledRow[] {
    return this.#page.all(due, id, limit);
  }

  /** Whether any of this event was there. */
  cancel(event: string): boolean {
    return this.#cancel.run(event) > 0;
  }

  /** How many there are for each topic; looks at all of them. */
  topics(now: number): DelayedTopic[] {
    return this.#topics.all(now);
  }
}
