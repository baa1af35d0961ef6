import type { AmqpDelivery } from "./client.ts";
import { LogReader, type Offset, offsetOf } from "./log-reader.ts";
import { randomHex, type Session } from "./session.ts";
import { markOf, timeOf } from "./wire.ts";

export interface Extent {
  /** Since a time; exact up to a bound, by the offsets above it. */
  readonly messages: number;
  readonly first: Date | undefined;
  readonly last: Date | undefined;
}

const exactly = 2_000;
const patienceMs = 2_000;

/** What is in the logs of streams, which the server says late and about. */
export class Logs {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Of the last record that was stored before the call; a record of ours stands there. */
  async lastOffset(stream: string): Promise<number> {
    const id = randomHex(this.#session.clock);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const reader = new LogReader(this.#session, this.#session.names.stream(stream), {
      record: ({ properties }, offset) => {
        if (properties.messageId === id) resolve(offset);
      },
      ended: reject,
    });
    promise.catch(() => undefined); // opening it may fail first
    try {
      await reader.open("next", 500);
      await this.mark(stream, id);
      return await promise;
    } finally {
      reader.close();
    }
  }

  async firstOffset(stream: string): Promise<number | undefined> {
    const [first] = await this.#read(stream, 1);
    return first === undefined ? undefined : offsetOf(first);
  }

  async extent(stream: string, since: number): Promise<Extent> {
    const id = randomHex(this.#session.clock);
    await this.mark(stream, id);
    const found = await this.#read(stream, exactly, id);
    const now = this.#session.clock.now();
    const events = found.filter((message) => isEvent(message) && (timeOf(message) ?? now) >= since);
    const dateOf = (message: AmqpDelivery | undefined): Date | undefined =>
      message === undefined ? undefined : new Date(timeOf(message) ?? now);
    const first = dateOf(events[0]);
    const end = found.at(-1);
    if (end?.properties.messageId === id || end === undefined)
      return { messages: events.length, first, last: dateOf(events.at(-1)) };
    const last = await this.lastOffset(stream);
    return { messages: last - offsetOf(found[0]!), first, last: new Date(this.#session.clock.now()) };
  }

  /** How many events there are from somewhere on, and before a marker where one is named, that `wanted` says yes to, up to a bound. */
  async count(
    stream: string,
    from: Offset,
    wanted: (message: AmqpDelivery) => boolean,
    before?: string,
  ): Promise<number> {
    const id = randomHex(this.#session.clock);
    await this.mark(stream, id);
    let count = 0;
    await this.#scan(stream, from, (message) => {
      if (isEvent(message) && wanted(message)) count += 1;
      const { messageId } = message.properties;
      return messageId === id || messageId === before || count >= exactly;
    });
    return count;
  }

  /** The oldest event after a time that `wanted` says yes to. */
  async oldestAfter(
    stream: string,
    time: number,
    wanted: (message: AmqpDelivery) => boolean,
  ): Promise<Date | undefined> {
    const id = randomHex(this.#session.clock);
    await this.mark(stream, id);
    const found = await this.#scan(stream, { time: Math.max(time - 1_000, 0) }, (message) => {
      if (message.properties.messageId === id) return true;
      return isEvent(message) && (timeOf(message) ?? 0) > time && wanted(message);
    });
    return found === undefined || found.properties.messageId === id ? undefined : new Date(timeOf(found) ?? time);
  }

  /** A record of ours at the end. */
  mark(stream: string, id: string = randomHex(this.#session.clock)): Promise<void> {
    return this.#session.own.put({ exchange: "", routingKey: this.#session.names.stream(stream) }, Buffer.alloc(0), {
      messageId: id,
      deliveryMode: 2,
      headers: { m: "mark" },
    });
  }

  async #read(stream: string, most: number, until?: string): Promise<readonly AmqpDelivery[]> {
    const found: AmqpDelivery[] = [];
    await this.#scan(stream, "first", (message) => {
      found.push(message);
      return found.length >= most || message.properties.messageId === until;
    });
    return found;
  }

  /** The first for which `stop` is true; undefined: none came in time. */
  async #scan(
    stream: string,
    from: Offset,
    stop: (message: AmqpDelivery) => boolean,
  ): Promise<AmqpDelivery | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<AmqpDelivery | undefined>();
    promise.catch(() => undefined); // opening it may fail first
    let isOver = false;
    const reader = new LogReader(this.#session, this.#session.names.stream(stream), {
      record: (message) => {
        if (isOver || !stop(message)) return;
        isOver = true;
        resolve(message);
      },
      ended: reject,
    });
    const timer = this.#session.clock.after(patienceMs, () => resolve(undefined));
    try {
      await reader.open(from, 500);
      return await promise;
    } finally {
      timer[Symbol.dispose]();
      reader.close();
    }
  }
}

const isEvent = (message: AmqpDelivery): boolean => markOf(message) === undefined;
