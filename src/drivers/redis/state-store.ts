import type { ScheduledMessage, StateStore, StoredMessage } from "../../driver.ts";
import { escapeName } from "./keys.ts";
import { listOf, textOf } from "./reply.ts";
import { Scheduled } from "./scheduled.ts";
import { deleteScript, getScript, putScript } from "./scripts/state.ts";
import type { Session } from "./session.ts";
import { keysOf, type StateChange, StateWatch } from "./state-watch.ts";

export function stateOf(session: Session): StateStore {
  return new RedisState(session);
}

/** Keys with revisions, and schedules; each change is one script. */
class RedisState implements StateStore {
  readonly #session: Session;
  readonly #scheduled: Scheduled;

  constructor(session: Session) {
    this.#session = session;
    this.#scheduled = new Scheduled(session);
  }

  async get(
    bucket: string,
    key: string,
  ): Promise<{ readonly value: Uint8Array; readonly revision: string } | undefined> {
    const [revision, , value] = listOf(await this.#session.run(getScript, [escapeName(bucket), key]));
    return value === undefined ? undefined : { value: new Uint8Array(value as Buffer), revision: textOf(revision) };
  }

  async put(
    bucket: string,
    key: string,
    value: Uint8Array,
    { ttlMs, expect }: Parameters<StateStore["put"]>[3],
  ): Promise<string | undefined> {
    const lives = ttlMs === undefined ? "" : String(Math.max(Math.ceil(ttlMs), 0));
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const expected = expect === undefined ? "*" : (expect ?? "-");
    const revision = await this.#session.run(putScript, [escapeName(bucket), key, bytes, lives, expected]);
    return revision === null ? undefined : textOf(revision);
  }

  async delete(bucket: string, key: string, expect?: string): Promise<boolean> {
    return (await this.#session.run(deleteScript, [escapeName(bucket), key, expect ?? "*"])) === 1;
  }

  async *keys(bucket: string, prefix: string): AsyncGenerator<string> {
    for await (const keys of keysOf(this.#session, bucket, prefix)) yield* keys;
  }

  async *watch(bucket: string, prefix: string, signal: AbortSignal): AsyncGenerator<StateChange> {
    const watch = new StateWatch(this.#session, bucket, prefix, signal);
    try {
      yield* watch.changes();
    } finally {
      watch.close();
    }
  }

  schedule(messages: readonly StoredMessage[]): Promise<void> {
    return this.#scheduled.add(messages);
  }

  due(now: number, limit: number, leaseMs: number): Promise<readonly StoredMessage[]> {
    return this.#scheduled.due(now, limit, leaseMs);
  }

  scheduled(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    return this.#scheduled.list(after, limit);
  }

  unschedule(ids: readonly string[], untaken = false): Promise<readonly string[]> {
    return this.#scheduled.remove(ids, untaken);
  }
}
