import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { AmqpProperties } from "./client.ts";
import type { Delays } from "./delayed.ts";
import { isMissing } from "./errors.ts";
import { encodePart } from "./names.ts";
import { type PutError, settling } from "./publisher.ts";
import type { Session } from "./session.ts";
import { anyDelay, quorum } from "./topology.ts";
import { type CopyNote, storedProperties } from "./wire.ts";

const shortMs = 20;
const lookMs = 5_000;
const mostKnown = 1_000;

/** The private lanes of groups, which may be sent to before there is a group. */
export class QueueLanes {
  readonly #session: Session;
  readonly #delays: Delays;
  /** Lanes that were there, and when that was looked at. */
  readonly #there = new Map<string, number>();

  constructor(session: Session, delays: Delays) {
    this.#session = session;
    this.#delays = delays;
    session.listen({ up: () => this.#there.clear() }); // another server, perhaps
  }

  /** An ordered group has one active consumer of it. */
  nameOf(group: string, ordered: boolean): string {
    const { names } = this.#session;
    return ordered ? names.queue(group, 0) : names.queue(group);
  }

  async declare(group: string, ordered: boolean): Promise<void> {
    const { names } = this.#session;
    const queue = this.nameOf(group, ordered);
    const key = encodePart(group);
    await this.#session.ask(async (channel) => {
      await channel.assertQueue(queue, {
        durable: true,
        arguments: quorum(ordered ? { "x-single-active-consumer": true } : {}),
      });
      await channel.bindQueue(queue, names.own("q"), key);
      await channel.bindQueue(queue, names.own("w"), `${anyDelay}.q.${key}`);
    });
    if (ordered) await this.#move(names.queue(group), queue, key);
  }

  /** Completes the message. */
  async send(message: OutMessage, group: string, place: string): Promise<void> {
    const { clock } = this.#session;
    const now = clock.now();
    const due = message.notBefore !== undefined && message.notBefore > now ? message.notBefore : undefined;
    const note: CopyNote | undefined = due === undefined ? undefined : { a: 0, h: [], d: due };
    try {
      await this.put(group, message.body, storedProperties(message, now, place, undefined, note), due);
      message.stored();
    } catch (error) {
      const { written } = error as Partial<PutError>;
      message.failed(written === true ? "unknown" : "no", error);
    }
  }

  /** Resolves when it is stored; `due` when it is to be handed out. */
  async put(group: string, body: Uint8Array, properties: AmqpProperties, due: number | undefined): Promise<void> {
    try {
      await this.#put(group, body, properties, due);
    } catch (error) {
      if ((error as Partial<PutError>).code !== "BUS_NOT_FOUND") throw error;
      if (this.#session.context.manage !== "create")
        throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`, { cause: error });
      await this.declare(group, false); // nobody knows yet what it will be: what is ordered takes it over
      await this.#put(group, body, properties, due);
    }
  }

  /** What is delayed is sent on by the server, where nobody is told that there is no lane. */
  async #find(group: string): Promise<void> {
    const { clock } = this.#session;
    if (clock.ticks() - (this.#there.get(group) ?? Number.NEGATIVE_INFINITY) < lookMs) return;
    const found = await Promise.all([true, false].map((ordered) => this.#isThere(this.nameOf(group, ordered))));
    if (!found.includes(true)) throw new DriverError("BUS_NOT_FOUND", `group (${group}): there is none`);
    if (this.#there.size >= mostKnown) this.#there.clear();
    this.#there.set(group, clock.ticks());
  }

  async #isThere(queue: string): Promise<boolean> {
    try {
      await this.#session.ask((channel) => channel.checkQueue(queue));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #put(group: string, body: Uint8Array, properties: AmqpProperties, due: number | undefined): Promise<void> {
    const { names, own, clock } = this.#session;
    const key = encodePart(group);
    if (due === undefined || due - clock.now() < shortMs + 1_230)
      return await own.put({ exchange: names.own("q"), routingKey: key }, body, properties);
    await this.#find(group);
    await new Promise<void>((resolve, reject) => {
      this.#delays.send(
        `q.${key}`,
        names.queue(group),
        body,
        properties,
        { due, group },
        settling(names.queue(group), resolve, reject),
      );
    });
  }

  /** What was sent before it was known that the group is ordered. */
  async #move(from: string, to: string, key: string): Promise<void> {
    const { names, own } = this.#session;
    if (!(await this.#isThere(from))) return;
    await this.#session.ask(async (channel) => {
      await channel.unbindQueue(from, names.own("q"), key);
      await channel.unbindQueue(from, names.own("w"), `${anyDelay}.q.${key}`);
    });
    for (;;) {
      const moved = await this.#session.ask(async (channel) => {
        const message = await channel.get(from);
        if (message === false) return false;
        await own.put({ exchange: "", routingKey: to }, message.content, message.properties); // but for its user, who is another one
        channel.ack(message);
        return true;
      });
      if (!moved) break;
    }
    await this.#session.ask((channel) => channel.deleteQueue(from));
  }
}
