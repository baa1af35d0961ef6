import type { DeadLetter, DeadLetterQuery, DeadLetters, ReplayOptions } from "./admin.ts";
import type { Core } from "./core.ts";
import type { DriverConnection, StoredMessage } from "./driver.ts";
import { BusError } from "./errors.ts";
import type { BusEvent } from "./event.ts";
import { matchesPattern } from "./internal/topic-trie.ts";
import { claimMs } from "./letter-claim.ts";
import { LetterReplay } from "./letter-replay.ts";
import { readErrors, readNames } from "./message-history.ts";
import {
  abortSignal,
  any,
  callable,
  checkOptions,
  date,
  integer,
  invalidOption,
  number,
  text,
  type Shape,
} from "./option-check.ts";
import type { Outbound } from "./outbound.ts";
import type { Publisher } from "./publisher.ts";
import { open } from "./receiving.ts";
import { ReceivedEvent } from "./received-event.ts";
import { asked, asMessage, headerOf } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import { validatePattern } from "./topic.ts";
import { header } from "./wire-names.ts";

const pageSize = 200;
const replaySize = 64;
const queryShape: Shape = {
  group: text,
  topic: text,
  error: text,
  before: date,
  after: date,
  limit: integer(1, 10_000),
  cursor: text,
};
const replayShape: Shape = {
  data: any,
  ratePerSecond: number(0.001, 1_000_000),
  signal: abortSignal,
  onProgress: callable,
};

/** What the groups gave up on: looked at, sent back to them, or thrown away. */
export class BusDeadLetters implements DeadLetters {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #replayer: LetterReplay;

  constructor(core: Core, broker: Broker, publisher: Publisher, outbound: Outbound) {
    this.#core = core;
    this.#broker = broker;
    this.#replayer = new LetterReplay(core, broker, publisher, outbound);
  }

  async list(
    query: DeadLetterQuery = {},
  ): Promise<{ readonly items: readonly DeadLetter[]; readonly cursor: string | undefined }> {
    checkQuery(query);
    const limit = query.limit ?? 100;
    const items: DeadLetter[] = [];
    for await (const letter of this.#scan(query)) {
      if (items.length === limit) return { items, cursor: items.at(-1)!.id };
      items.push(letter);
    }
    return { items, cursor: undefined };
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const stored = await this.#ask("reading a dead letter", (connection) => connection.admin.letter(id));
    return stored === undefined ? undefined : this.#letter(stored);
  }

  async count(query: DeadLetterQuery = {}): Promise<number> {
    checkQuery(query);
    const { group, topic, error, before, after } = query;
    if (
      topic === undefined &&
      error === undefined &&
      before === undefined &&
      after === undefined &&
      query.cursor === undefined
    )
      return this.#ask("counting dead letters", (connection) => connection.admin.countLetters(group));
    let count = 0;
    for await (const _ of this.#scan(query)) count += 1;
    return count;
  }

  async replay(
    which: string | DeadLetterQuery,
    options: ReplayOptions = {},
  ): Promise<{ readonly replayed: number; readonly failed: number }> {
    checkOptions("replay", options, replayShape);
    if (options.data !== undefined && typeof which !== "string")
      throw invalidOption('replay: "data" is for one letter, named by its id');
    const { data, ratePerSecond, signal, onProgress } = options;
    const startedAt = this.#core.clock.ticks();
    const most = ratePerSecond === undefined ? replaySize : Math.min(replaySize, Math.ceil(ratePerSecond / 100));
    let replayed = 0;
    let failed = 0;
    for await (const ids of this.#pages(which, most)) {
      if (ratePerSecond !== undefined)
        await this.#pause(startedAt + ((replayed + failed) * 1_000) / ratePerSecond, signal);
      if (signal?.aborted === true)
        throw new BusError("BUS_ABORTED", `replay: aborted by the caller after ${replayed}`);
      for (const outcome of await this.#replayer.replay(ids, data)) {
        if (outcome === "replayed") replayed += 1;
        else failed += 1;
        onProgress?.(replayed + failed);
      }
    }
    return { replayed, failed };
  }

  async discard(which: string | DeadLetterQuery): Promise<number> {
    let discarded = 0;
    for await (const ids of this.#pages(which, pageSize)) {
      const token = this.#core.ids.next();
      const claimed = await this.#ask("claiming dead letters", ({ admin }) => admin.claimLetters(ids, token, claimMs));
      try {
        await this.#replayer.release(claimed);
        const removed = await this.#ask("discarding dead letters", ({ admin }) => admin.removeLetters(claimed, token));
        discarded += removed.length;
      } catch (error) {
        await this.#ask("giving claims up", ({ admin }) => admin.claimLetters(claimed, token, 0)).catch(
          () => undefined,
        ); // else they end by themselves
        throw error;
      }
    }
    return discarded;
  }

  async *#pages(which: string | DeadLetterQuery, size: number): AsyncIterable<readonly string[]> {
    if (typeof which === "string") {
      yield [which];
      return;
    }
    checkQuery(which);
    let page: string[] = [];
    let left = which.limit ?? Number.POSITIVE_INFINITY;
    for await (const letter of this.#scan(which, this.#core.clock.now())) {
      if (left-- <= 0) break;
      page.push(letter.id);
      if (page.length === size) {
        yield page;
        page = [];
      }
    }
    if (page.length > 0) yield page;
  }

  /** `until`: letters stored later are left out, so that what fails again is not replayed in the same sweep. */
  async *#scan(query: DeadLetterQuery, until = Number.POSITIVE_INFINITY): AsyncIterable<DeadLetter> {
    let after = query.cursor;
    for (;;) {
      const page = await this.#ask("listing dead letters", (connection) =>
        connection.admin.letters(query.group, after, pageSize),
      );
      for (const stored of page) if (stored.storedAt <= until && matches(stored, query)) yield this.#letter(stored);
      if (page.length < pageSize) return;
      after = page.at(-1)!.id;
    }
  }

  #letter(stored: StoredMessage): DeadLetter {
    const read = (name: string): string | undefined => headerOf(stored, name);
    const position = read(header.letterPosition);
    const failedAt = new Date(Number(read(header.failedAt) ?? stored.storedAt));
    return {
      id: stored.id,
      group: stored.group ?? "",
      event: this.#event(stored),
      raw: stored.body,
      topic: stored.topic,
      stream: read(header.letterStream),
      position,
      reason: {
        code: read(header.reasonCode) ?? "",
        name: read(header.reasonName) ?? "",
        message: read(header.reasonMessage) ?? "",
        stack: read(header.reasonStack),
      },
      haltsKey: read(header.letterHalts) !== undefined,
      handlers: [...(readNames(read(header.handlersFailed)) ?? [])],
      attempts: Number(read(header.letterAttempts) ?? 0),
      firstFailedAt: new Date(Number(read(header.firstFailedAt) ?? failedAt.getTime())),
      failedAt,
      history: readErrors(read(header.history)).map(({ at, error }) => ({ at: new Date(at), error })),
    };
  }

  #event(stored: StoredMessage): BusEvent | undefined {
    try {
      const envelope = open(this.#core, asMessage(stored));
      return new ReceivedEvent(envelope, envelope.data);
    } catch {
      return undefined; // that it can't be decoded is why it is here
    }
  }

  #ask<Answer>(what: string, ask: (connection: DriverConnection) => Promise<Answer>): Promise<Answer> {
    return asked(this.#broker, what, ask);
  }

  #pause(until: number, signal: AbortSignal | undefined): Promise<void> {
    const wait = until - this.#core.clock.ticks();
    if (wait <= 0 || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = this.#core.wheel.set(wait, done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }
}

function checkQuery(query: DeadLetterQuery): void {
  checkOptions("the query of dead letters", query, queryShape);
  if (query.topic !== undefined) validatePattern(query.topic);
}

function matches(stored: StoredMessage, { topic, error, before, after }: DeadLetterQuery): boolean {
  if (topic !== undefined && !matchesPattern(topic, stored.topic)) return false;
  if (before !== undefined && stored.storedAt >= before.getTime()) return false;
  if (after !== undefined && stored.storedAt <= after.getTime()) return false;
  if (error === undefined) return true;
  return (
    headerOf(stored, header.reasonCode) === error ||
    headerOf(stored, header.reasonName) === error ||
    (headerOf(stored, header.reasonMessage)?.includes(error) ?? false)
  );
}
