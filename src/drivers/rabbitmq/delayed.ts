import type { OutMessage } from "../../driver.ts";
import type { AmqpProperties } from "./client.ts";
import type { Outcome } from "./confirms.ts";
import type { Definitions } from "./definitions.ts";
import { cutDelay, delaySteps } from "./delays.ts";
import { DueList, type Scheduled } from "./due-list.ts";
import { notConnected } from "./errors.ts";
import { FoldedLog } from "./folded-log.ts";
import type { Session } from "./session.ts";
import { quorum, scheduleArguments } from "./topology.ts";
import { encodeHeaders, wireHeaders } from "./wire.ts";

/** The log of them, as definitions call it. */
const made = "schedule";

/** A ladder of queues that hold for 1, 2, 4 … seconds, each made when it is first needed. */
export class Delays {
  readonly #session: Session;
  readonly #steps = new Map<number, Promise<void>>();
  readonly #definitions: Definitions;
  readonly #index: FoldedLog<DueList>;

  constructor(session: Session, definitions: Definitions) {
    this.#session = session;
    this.#definitions = definitions;
    const queue = session.names.own("x");
    const declare = async (): Promise<void> => {
      await session.ask((channel) => channel.assertQueue(queue, { durable: true, arguments: scheduleArguments }));
    };
    this.#index = new FoldedLog(
      session,
      queue,
      declare,
      {
        begin: () => new DueList(),
        take: (list, record) => list.add(record as Scheduled, session.clock.now()),
      },
      () => definitions.once(made, declare),
    );
    session.listen({ up: () => this.#steps.clear() }); // another server, perhaps
  }

  /** Into a stream, when it is time. */
  toStream(message: OutMessage, stream: string, place: string, outcome: Outcome): void {
    const { clock } = this.#session;
    const due = message.notBefore!;
    const now = clock.now();
    const properties: AmqpProperties = {
      messageId: message.brokerId,
      timestamp: Math.floor(now / 1_000),
      deliveryMode: 2,
      headers: wireHeaders({
        k: message.key,
        e: message.expiresAt,
        h: encodeHeaders(message.headers),
        o: place,
        s: stream,
        d: due,
      }) as Readonly<Record<string, unknown>>,
    };
    const topic = place.slice(place.indexOf(".") + 1);
    this.send("s", this.#session.names.own("z"), message.body, properties, { due, stream, topic }, outcome);
  }

  /** `suffix` is how the landing exchange knows where it belongs; `straight` the queue for what is due soon. */
  send(
    suffix: string,
    straight: string,
    body: Uint8Array,
    properties: AmqpProperties,
    scheduled: Scheduled,
    outcome: Outcome,
  ): void {
    const { clock, own, names } = this.#session;
    const { bits } = cutDelay(scheduled.due - clock.now());
    if (bits === undefined) return own.publish({ exchange: "", routingKey: straight }, body, properties, true, outcome);
    const highest = delaySteps - 1 - bits.split(".").indexOf("1");
    this.#ready(bits).then(
      () => {
        const stored = this.#index.followed ? this.#index.write(scheduled) : this.#index.append(scheduled);
        const counted = stored.catch(() => undefined); // it is not counted then, and comes all the same
        own.publish({ exchange: names.delay(highest), routingKey: `${bits}.${suffix}` }, body, properties, true, {
          ...outcome,
          stored: () => void counted.then(() => outcome.stored()),
        });
      },
      (error: unknown) => outcome.lost(false, error instanceof Error ? error : notConnected(error)),
    );
  }

  /** Those that are still to come. */
  async scheduled(): Promise<readonly Scheduled[]> {
    if (!this.#definitions.isMade(made)) return [];
    await this.#index.seen();
    return this.#index.state.after(this.#session.clock.now());
  }

  close(): void {
    this.#index.close();
  }

  async #ready(bits: string): Promise<void> {
    const set = bits.split(".").flatMap((bit, place) => (bit === "1" ? [delaySteps - 1 - place] : []));
    const highest = set[0] ?? 0;
    for (let step = 0; step <= highest; step += 1) await this.#once(step * 2, () => this.#exchange(step));
    for (const step of set) await this.#once(step * 2 + 1, () => this.#queue(step));
  }

  async #once(what: number, make: () => Promise<void>): Promise<void> {
    const made = this.#steps.get(what) ?? make();
    this.#steps.set(what, made);
    try {
      await made;
    } catch (error) {
      this.#steps.delete(what);
      throw error;
    }
  }

  /** Who has no 1 at its place goes on to the next one at once. */
  async #exchange(step: number): Promise<void> {
    const { names } = this.#session;
    await this.#session.ask(async (channel) => {
      await channel.assertExchange(names.delay(step), "topic", { durable: true });
      await channel.bindExchange(this.#next(step), names.delay(step), keyOf(step, "0"));
    });
  }

  async #queue(step: number): Promise<void> {
    const { names } = this.#session;
    await this.#session.ask(async (channel) => {
      await channel.assertQueue(names.delay(step), {
        durable: true,
        arguments: quorum({
          "x-message-ttl": 1_000 * 2 ** step,
          "x-dead-letter-exchange": this.#next(step),
          "x-dead-letter-strategy": "at-least-once",
          "x-overflow": "reject-publish",
        }),
      });
      await channel.bindQueue(names.delay(step), names.delay(step), keyOf(step, "1"));
    });
  }

  #next(step: number): string {
    const { names } = this.#session;
    return step === 0 ? names.own("w") : names.delay(step - 1);
  }
}

const keyOf = (step: number, bit: "0" | "1"): string => `${"*.".repeat(delaySteps - 1 - step)}${bit}.#`;
