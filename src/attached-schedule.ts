import type { Clock } from "./clock.ts";
import type { Address, DriverConnection, OutMessage, ScheduledMessage, StateStore, StoredMessage } from "./driver.ts";
import { deletedBucket, type MoverContext, ScheduleMover } from "./schedule-mover.ts";
import { eventIdOf, queueId, topicId } from "./scheduled-id.ts";
import { header } from "./wire-names.ts";

/** Groups to whose queues anything was ever sent for later: no bucket of a user's is called so. */
const groupsBucket = ".scheduled";
const nothing = new Uint8Array(0);
const pageSize = 500;
/** What a process that died had taken is tried again as soon as any process is there. */
const deletedMs = 7 * 86_400_000;

type Place = Extract<Address, { readonly kind: "topic" | "queue" }>;
/** A message that waits for its time. */
export type Later = OutMessage & { readonly to: Place; readonly notBefore: number };

/** What is published for later at a broker that can't list it: it waits in the state store, and is published when it is due. */
export class AttachedSchedule {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #mover: ScheduleMover;
  readonly #groups = new Set<string>();

  constructor(connection: DriverConnection, store: StateStore, context: MoverContext) {
    this.#store = store;
    this.#clock = context.clock;
    this.#mover = new ScheduleMover(connection, store, context);
  }

  /** Whether the message goes through here; also when its time came since its first try, for it may wait here, or be cancelled. */
  takes(message: OutMessage): message is Later {
    const { notBefore, to } = message;
    return notBefore !== undefined && (to.kind === "topic" || to.kind === "queue");
  }

  /** Completes the messages. One that is sent again takes its own place, unless it is being moved. */
  async add(messages: readonly Later[]): Promise<void> {
    try {
      await this.#noteGroups(messages);
      await this.#store.schedule(messages.map((message) => this.#stored(message)));
    } catch (error) {
      // of several one may be at fault
      if (messages.length > 1) await Promise.all(messages.map((message) => this.add([message])));
      else messages[0]!.failed("unknown", error);
      return;
    }
    for (const message of messages) message.stored();
    this.#mover.at(Math.min(...messages.map(({ notBefore }) => notBefore)));
  }

  async list(after: string | undefined, limit: number): Promise<readonly ScheduledMessage[]> {
    const page = await this.#store.scheduled(after, limit);
    return page.map((message) => ({ ...message, id: eventIdOf(message.id) }));
  }

  /** Only what no process has taken to move it, so that of the two one wins. */
  async cancel(ids: readonly string[]): Promise<readonly string[]> {
    const groups: string[] = [];
    for await (const group of this.#store.keys(groupsBucket, "")) groups.push(group);
    const stored = ids.flatMap((id) => [topicId(id), ...groups.map((group) => queueId(group, id))]);
    const gone = new Set((await this.#store.unschedule(stored, true)).map(eventIdOf));
    return ids.filter((id) => gone.has(id));
  }

  /** Under the ids of the store; looks at all that there is. */
  async *all(): AsyncGenerator<ScheduledMessage> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#store.scheduled(after, pageSize);
      yield* page;
      if (page.length < pageSize) return;
      after = page.at(-1)!.position;
    }
  }

  /** By the ids of the store. How many went. */
  async forget(ids: readonly string[]): Promise<number> {
    return ids.length === 0 ? 0 : (await this.#store.unschedule(ids)).length;
  }

  /** What is taken at the moment is in no list: whoever can't publish it finds this, and drops it. */
  async noteDeleted(stream: string): Promise<void> {
    const now = new TextEncoder().encode(String(this.#clock.now()));
    await this.#store.put(deletedBucket, stream, now, { ttlMs: deletedMs });
  }

  close(signal: AbortSignal): Promise<void> {
    return this.#mover.close(signal);
  }

  /** Before anything waits for a group's queue the group is known to whoever cancels. */
  async #noteGroups(messages: readonly Later[]): Promise<void> {
    for (const { to } of messages) {
      if (to.kind !== "queue" || this.#groups.has(to.group)) continue;
      await this.#store.put(groupsBucket, to.group, nothing, {});
      this.#groups.add(to.group);
    }
  }

  #stored({ to, id, key, priority, headers, body, notBefore }: Later): StoredMessage {
    return {
      id: to.kind === "queue" ? queueId(to.group, id) : topicId(id),
      group: to.kind === "queue" ? to.group : undefined,
      headers: priority === 1 ? headers : [...headers, [header.scheduledPriority, String(priority)]],
      storedAt: this.#clock.now(),
      ...{ to, topic: to.topic, key, body, notBefore },
    };
  }
}
