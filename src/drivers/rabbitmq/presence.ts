import type { Member } from "../../driver.ts";
import type { AmqpChannel, AmqpDelivery } from "./client.ts";
import { quietly } from "./quietly.ts";
import { randomHex, type Session } from "./session.ts";

export interface Seat {
  readonly group: string;
  /** Refs of partitions that it has, or waits for. */
  readonly partitions: readonly string[];
}

interface Beat {
  readonly process: string;
  readonly member: {
    readonly id: string;
    readonly name: string;
    readonly host: string;
    readonly pid: number;
    readonly since: number;
  };
  readonly seats: Readonly<Record<string, Seat>>;
  /** It wants to know the others. */
  readonly hello?: boolean;
  readonly bye?: boolean;
}

/** What a process has in hand of a group. */
export interface Holding {
  readonly group: string;
  readonly given: number;
  readonly buffered: number;
  readonly parked: number;
  /** When the last one that was handed out was published, in ms, by stream. */
  readonly reached: Readonly<Record<string, number>>;
}

export interface Answer {
  readonly process: string;
  readonly holdings: readonly Holding[];
  /** Events that are to be published into their stream soon. */
  readonly landing: readonly { readonly stream: string; readonly topic: string }[];
}

interface Heard {
  readonly beat: Beat;
  lastSeen: number;
  at: number;
}

const helloMs = 250;
const answerMs = 1_000;
const againMs = 200;

/** Who else is there: each process says so on one exchange, with the seats that it has in groups. */
export class Presence {
  readonly #session: Session;
  readonly #others = new Map<string, Heard>();
  readonly #seats = new Map<string, Seat>();
  readonly #listeners = new Set<() => void>();
  readonly #asked = new Map<string, Answer[]>();
  readonly #watch: Disposable;
  #provide: () => Omit<Answer, "process"> = () => ({ holdings: [], landing: [] });
  #channel: AmqpChannel | undefined;
  #timer: Disposable | undefined;
  readonly #pinged = new Set<() => void>();
  #retry: Disposable | undefined;
  #isOpening = false;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
    this.#watch = session.listen({
      up: () => {
        const now = session.clock.ticks();
        for (const heard of this.#others.values()) heard.at = now; // nobody could be heard
        this.#reopen();
      },
    });
  }

  get inbox(): string {
    return this.#session.names.inbox(this.#session.process);
  }

  /** Resolves when those that are there are known. */
  async start(): Promise<void> {
    await this.#open();
    this.#tick();
  }

  provide(provide: () => Omit<Answer, "process">): void {
    this.#provide = provide;
  }

  listen(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Of all processes, this one's included. */
  seats(group: string): readonly { readonly id: string; readonly partitions: readonly string[] }[] {
    const all = [this.#seats, ...[...this.#others.values()].map(({ beat }) => new Map(Object.entries(beat.seats)))];
    return all
      .flatMap((seats) =>
        [...seats].filter(([, seat]) => seat.group === group).map(([id, { partitions }]) => ({ id, partitions })),
      )
      .toSorted((left, right) => (left.id < right.id ? -1 : 1));
  }

  members(group: string): readonly Member[] {
    const { context, clock } = this.#session;
    const own = { beat: this.#beat(), lastSeen: clock.now() };
    return [own, ...this.#others.values()].flatMap(({ beat, lastSeen }) => {
      const seats = Object.values(beat.seats).filter((seat) => seat.group === group);
      if (seats.length === 0) return [];
      const { since, ...who } =
        beat.process === this.#session.process
          ? { ...context.member, since: context.member.since.getTime() }
          : beat.member;
      const numbers = seats.flatMap(({ partitions }) =>
        partitions.map((ref) => Number(ref.slice(ref.lastIndexOf("/") + 1))),
      );
      return [
        {
          id: who.id,
          name: who.name,
          host: who.host,
          pid: who.pid,
          since: new Date(since),
          lastSeen: new Date(lastSeen),
          partitions: numbers.length === 0 ? undefined : [...new Set(numbers)].toSorted((a, b) => a - b),
        },
      ];
    });
  }

  sit(id: string, seat: Seat): void {
    this.#seats.set(id, seat);
    this.#say();
    this.#changed();
  }

  leave(id: string): void {
    if (!this.#seats.delete(id)) return;
    this.#say();
    this.#changed();
  }

  /** What all processes that live have in hand. */
  async ask(): Promise<readonly Answer[]> {
    const { clock } = this.#session;
    const number = randomHex(clock);
    const answers: Answer[] = [];
    this.#asked.set(number, answers);
    try {
      const processes = await this.#count();
      this.#send({ ask: number, to: this.inbox });
      const until = clock.ticks() + answerMs;
      while (answers.length < processes && clock.ticks() < until) await this.#wait(5);
      return answers;
    } finally {
      this.#asked.delete(number);
    }
  }

  /** Through the server and back. */
  async ping(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pinged.add(resolve);
    try {
      await this.#session.direct.put(
        { exchange: "", routingKey: this.inbox },
        Buffer.from(JSON.stringify({ ping: true })),
        { deliveryMode: 1 },
      );
      await promise;
    } finally {
      this.#pinged.delete(resolve);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    this.#watch[Symbol.dispose]();
    this.#seats.clear();
    this.#send({ ...this.#beat(), bye: true });
    quietly(() => this.#channel?.close());
  }

  /** Until it is there: without its inbox it is taken for dead. */
  #reopen(): void {
    if (this.#closed || this.#channel !== undefined || this.#isOpening) return;
    this.#isOpening = true;
    this.#open()
      .catch(() => {
        this.#retry?.[Symbol.dispose]();
        this.#retry = this.#session.clock.after(againMs, () => this.#reopen());
      })
      .finally(() => (this.#isOpening = false));
  }

  async #open(): Promise<void> {
    const { names, consuming } = this.#session;
    const channel = await consuming.channel();
    channel.on("close", () => {
      // the server closed it; of a line that went the next one brings another
      if (this.#channel !== channel) return;
      this.#channel = undefined;
      if (consuming.isUp) this.#reopen();
    });
    await channel.assertQueue(this.inbox, {
      durable: true,
      autoDelete: true,
      arguments: { "x-expires": 60_000 },
    });
    await channel.bindQueue(this.inbox, names.own("m"), "#");
    await channel.consume(
      this.inbox,
      (message) => (message === null ? quietly(() => channel.close()) : this.#take(message)),
      { noAck: true },
    );
    this.#channel = channel;
    this.#send({ ...this.#beat(), hello: true });
    const until = this.#session.clock.ticks() + helloMs;
    const processes = await this.#count().catch(() => 0); // whoever is there is heard all the same
    while (this.#others.size + 1 < processes && this.#session.clock.ticks() < until && !this.#closed)
      await this.#wait(5);
  }

  /** Every process waits for jobs. */
  async #count(): Promise<number> {
    const { consumerCount } = await this.#session.ask((channel) => channel.checkQueue(this.#session.names.own("j")));
    return consumerCount;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#session.clock.after(ms, resolve));
  }

  #beat(): Beat {
    const { context, process } = this.#session;
    const { id, name, host, pid, since } = context.member;
    return { process, member: { id, name, host, pid, since: since.getTime() }, seats: Object.fromEntries(this.#seats) };
  }

  #say(): void {
    if (this.#channel !== undefined && !this.#closed) this.#send(this.#beat());
  }

  #send(what: object, to?: string): void {
    const { names, direct } = this.#session;
    const place = to === undefined ? { exchange: names.own("m"), routingKey: "b" } : { exchange: "", routingKey: to };
    // who is not reached asks again, or is heard with the next beat
    direct.put(place, Buffer.from(JSON.stringify(what)), { deliveryMode: 1 }, false).catch(() => undefined);
  }

  #tick(): void {
    const { clock, options } = this.#session;
    const everyMs = options.leaseMs / 3;
    this.#timer = clock.after(everyMs, () => {
      if (this.#closed) return;
      this.#say();
      const now = clock.ticks();
      for (const [process, { at }] of this.#others) {
        if (now - at > options.leaseMs) this.#gone(process);
        else if (now - at > everyMs * 1.5 && this.#session.isUp) this.#probe(process);
      }
      this.#tick();
    });
  }

  /** Its inbox goes with it, so that nobody waits for the lease of one who died. */
  #probe(process: string): void {
    const { names, direct } = this.#session;
    direct
      .put({ exchange: "", routingKey: names.inbox(process) }, Buffer.from("{}"), {
        deliveryMode: 1,
        expiration: "1000",
      })
      .catch((error: unknown) => {
        if ((error as { readonly code?: unknown }).code === "BUS_NOT_FOUND") this.#gone(process);
      });
  }

  #gone(process: string): void {
    if (this.#others.delete(process)) this.#changed();
  }

  #take(message: AmqpDelivery): void {
    const said = parsed(message.content);
    if (said === undefined || this.#closed) return;
    if (said.ask !== undefined && said.to !== undefined)
      this.#send({ answer: said.ask, process: this.#session.process, ...this.#provide() }, said.to);
    else if (said.answer !== undefined) this.#asked.get(said.answer)?.push(said as unknown as Answer);
    else if (said.ping === true) for (const pinged of [...this.#pinged]) pinged();
    else if (said.seats !== undefined) this.#heard(said as unknown as Beat);
  }

  #heard(beat: Beat): void {
    const { process, clock } = this.#session;
    if (beat.process === process) return;
    if (beat.bye === true) return this.#gone(beat.process);
    if (beat.hello === true) this.#say();
    const before = this.#others.get(beat.process);
    this.#others.set(beat.process, { beat, lastSeen: clock.now(), at: clock.ticks() });
    if (JSON.stringify(before?.beat.seats) !== JSON.stringify(beat.seats)) this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

interface Said {
  readonly ask?: string;
  readonly to?: string;
  readonly answer?: string;
  readonly ping?: boolean;
  readonly seats?: object;
}

function parsed(content: Buffer): Said | undefined {
  try {
    return JSON.parse(String(content)) as Said;
  } catch {
    return undefined;
  }
}
