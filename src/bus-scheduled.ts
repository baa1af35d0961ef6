import type { Scheduled, ScheduledEvent, ScheduledQuery } from "./admin.ts";
import type { DriverAdmin, DriverConnection } from "./driver.ts";
import { BusError } from "./errors.ts";
import { matchesPattern } from "./internal/topic-trie.ts";
import { checkOptions, integer, invalidOption, text, type Shape } from "./option-check.ts";
import { asked } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import { validatePattern } from "./topic.ts";

const pageSize = 500;
const queryShape: Shape = { topic: text, limit: integer(1, 10_000), cursor: text };

/** What was published for later: looked at, or taken back before it is due. */
export class BusScheduled implements Scheduled {
  readonly #broker: Broker;

  constructor(broker: Broker) {
    this.#broker = broker;
  }

  async list(
    query: ScheduledQuery = {},
  ): Promise<{ readonly items: readonly ScheduledEvent[]; readonly cursor: string | undefined }> {
    checkOptions("scheduled.list", query, queryShape);
    const { topic: pattern, limit = 100 } = query;
    if (pattern !== undefined) validatePattern(pattern);
    // one more than asked for, which tells whether there is a next page
    const most = pattern === undefined ? Math.min(limit + 1, pageSize) : pageSize;
    const items: ScheduledEvent[] = [];
    let cursor: string | undefined;
    let after = query.cursor;
    for (;;) {
      const page = await this.#ask("listing scheduled events", ({ admin }) => this.#list(admin)(after, most));
      for (const { id, topic, notBefore, position } of page) {
        if (pattern !== undefined && !matchesPattern(pattern, topic)) continue;
        if (items.length === limit) return { items, cursor };
        items.push({ id, at: new Date(notBefore), topic });
        cursor = position;
      }
      if (page.length < most) return { items, cursor: undefined };
      after = page.at(-1)!.position;
    }
  }

  async cancel(id: string): Promise<boolean> {
    if (typeof id !== "string" || id === "") throw invalidOption("scheduled.cancel: takes the id of an event");
    const gone = await this.#ask("cancelling a scheduled event", ({ admin }) => {
      if (admin.cancelScheduled === undefined) throw this.#unsupported();
      return admin.cancelScheduled([id]);
    });
    return gone.includes(id);
  }

  #list(admin: DriverAdmin): NonNullable<DriverAdmin["scheduled"]> {
    if (admin.scheduled === undefined) throw this.#unsupported();
    return admin.scheduled.bind(admin);
  }

  #ask<Answer>(what: string, ask: (connection: DriverConnection) => Promise<Answer>): Promise<Answer> {
    return asked(this.#broker, what, async (connection) => ask(connection));
  }

  #unsupported(): BusError {
    const why = `the driver "${this.#broker.driver.name}" can't tell what is scheduled`;
    return new BusError("BUS_UNSUPPORTED", `${why}; with a state store attached ("state") it can`);
  }
}
