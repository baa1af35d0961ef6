import type { Core } from "./core.ts";
import type { DriverConnection, Headers, StoredMessage } from "./driver.ts";
import { haltedBucket } from "./halted-keys.ts";
import { noHandler } from "./letter.ts";
import { LetterClaim } from "./letter-claim.ts";
import type { Outbound } from "./outbound.ts";
import { PublishOp } from "./publish-op.ts";
import type { Publisher } from "./publisher.ts";
import { open } from "./receiving.ts";
import { check } from "./schema-check.ts";
import { errorFields } from "./status-board.ts";
import { asked, asMessage, headerOf, doesHalt } from "./stored-letter.ts";
import type { Broker } from "./supervisor.ts";
import { header, headerPrefix } from "./wire-names.ts";

const kept: ReadonlySet<string> = new Set([header.firstFailedAt, header.history, header.handlersDone, header.placeId]);

/** Sends letters back to the queues of their groups. */
export class LetterReplay {
  readonly #core: Core;
  readonly #broker: Broker;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;

  constructor(core: Core, broker: Broker, publisher: Publisher, outbound: Outbound) {
    this.#core = core;
    this.#broker = broker;
    this.#publisher = publisher;
    this.#outbound = outbound;
  }

  /**
   * Claims together, sends in this order, removes what is stored: a crash after the claim leaves the letters, after the send letters
   * that a second replay sends under the same broker ids. What another operator has, or nobody any more, has no outcome.
   */
  async replay(ids: readonly string[], data: unknown): Promise<readonly ("replayed" | "failed")[]> {
    const claim = new LetterClaim(this.#core, this.#broker);
    const claimed = await claim.take(ids);
    try {
      const found = await Promise.allSettled(claimed.map((id) => this.#read(id)));
      const ends = await Promise.allSettled(
        found.map(async (read) => {
          if (read.status === "rejected") throw read.reason;
          if (read.value === undefined) return false;
          await this.#send(read.value, data);
          await claim.remove(read.value.id);
          return true;
        }),
      );
      for (const [index, end] of ends.entries())
        if (end.status === "rejected")
          this.#core.board.log("warn", "letter not replayed", { letter: claimed[index]!, ...errorFields(end.reason) });
      const refused = ends.find((end) => end.status === "rejected");
      if (data !== undefined && refused !== undefined) throw refused.reason; // the caller's own data was refused
      return ends
        .filter((end) => end.status === "rejected" || end.value)
        .map(({ status }) => (status === "rejected" ? "failed" : "replayed"));
    } finally {
      await claim.giveUp();
    }
  }

  /**
   * Before letters that were claimed go for good: who waits for one of them goes on without it. Sent again after a crash it finds
   * nobody who waits.
   */
  async release(ids: readonly string[]): Promise<void> {
    if (!(await asked(this.#broker, "reading halted keys", isAnyHalted))) return;
    const found = await Promise.all(ids.map((id) => this.#read(id)));
    await Promise.all(
      found.map(async (stored) => {
        if (stored !== undefined && doesHalt(stored)) await this.#send(stored, undefined, true);
      }),
    );
  }

  #read(id: string): Promise<StoredMessage | undefined> {
    return asked(this.#broker, "reading a dead letter", ({ admin }) => admin.letter(id));
  }

  async #send(stored: StoredMessage, data: unknown, discarded = false): Promise<void> {
    const replays = Number(headerOf(stored, header.replays) ?? 0) + 1;
    const eventId = headerOf(stored, header.letterEventId) ?? stored.id;
    const failed = headerOf(stored, header.reasonCode) === noHandler ? "" : headerOf(stored, header.handlersFailed);
    const place = headerOf(stored, header.letterStream) && headerOf(stored, header.letterPosition);
    const changed = data === undefined ? undefined : await this.#rewrite(stored, data);
    const headers: Headers = [
      ...(changed?.headers ?? stored.headers.filter(([name]) => !name.startsWith(headerPrefix))),
      ...stored.headers.filter(([name]) => kept.has(name)),
      ...(failed ? [[header.handlersOnly, failed] as const] : []),
      ...(place ? [[header.firstPlace, place] as const] : []),
      [header.replays, String(replays)],
      ...(doesHalt(stored) ? [[header.halts, encodeURIComponent(eventId)] as const] : []),
      ...(discarded ? [[header.discarded, "1"] as const] : []),
    ];
    const to = { kind: "queue", group: stored.group!, topic: stored.topic } as const;
    const message = new PublishOp(to, eventId, stored.key, headers, changed?.body ?? stored.body);
    message.brokerId = `${eventId}:replay:${replays}`;
    if (doesHalt(stored)) message.brokerId += `:${discarded}:${headerOf(stored, header.failedAt)}`; // a swallowed one would halt its key for ever
    message.hash = this.#publisher.hash(stored.key);
    message.value = changed?.value;
    message.driver = this.#broker.driver.name;
    await this.#outbound.send(message, undefined);
  }

  async #rewrite(
    stored: StoredMessage,
    data: unknown,
  ): Promise<{ readonly headers: Headers; readonly body: Uint8Array; readonly value: unknown }> {
    const envelope = open(this.#core, asMessage(stored));
    const definition =
      this.#core.options.registry.get(envelope.type, envelope.version) ??
      this.#core.options.registry.latest(envelope.type);
    if (definition !== undefined) await check(definition.schema, data, `event "${envelope.type}"`);
    const changed = { ...envelope, version: definition?.version ?? envelope.version, data };
    const { headers, body } = this.#publisher.encode(changed);
    return { headers, body, value: this.#broker.active?.unencoded === true ? changed : undefined };
  }
}

/** Where the store is not at hand, another member's may have some. */
async function isAnyHalted({ state }: DriverConnection): Promise<boolean> {
  if (state === undefined) return true;
  for await (const _ of state.keys(haltedBucket, "")) return true;
  return false;
}
