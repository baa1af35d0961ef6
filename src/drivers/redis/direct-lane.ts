import type { Consumption, OutMessage, Sink, Source, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { Fifo } from "../../internal/fifo.ts";
import { DirectConsumer, type DirectHost } from "./direct-consumer.ts";
import { Parcel } from "./direct-parcel.ts";
import { DirectTable } from "./direct-table.ts";
import { outcomeOf, replyWord } from "./errors.ts";
import { FrameReader } from "./frame.ts";
import { newAddress, processOf } from "./inboxes.ts";
import type { Arg } from "./link.ts";
import { directMessage } from "./message.ts";
import { Presence } from "./presence.ts";
import { textsOf } from "./reply.ts";
import { directScript } from "./scripts/direct.ts";
import type { Session } from "./session.ts";
import { unlessAborted } from "./unless-aborted.ts";

const mostAtOnce = 128;
const mostBytesAtOnce = 256 * 1_024;
const anyRevision = "-";

/**
 * Requests, their answers and what may be lost: messages from process to process, by shard channels. Who gets one is chosen here,
 * from a table that the server says is still right in the same step in which it passes the messages on.
 */
export class DirectLane implements DirectHost {
  readonly #session: Session;
  readonly #presence: Presence;
  readonly #receiving: Disposable;
  readonly #flushed: Disposable;
  readonly #consumers = new Map<number, DirectConsumer>();
  readonly #inboxes = new Map<string, DirectConsumer>();
  readonly #waiting = new Fifo<Parcel>();
  #sending: readonly Parcel[] = [];
  #table = new DirectTable("", [], 0);
  #consumerNumber = 0;
  #turn = 0;
  #closed = false;

  constructor(session: Session) {
    this.#session = session;
    this.#presence = new Presence(session);
    this.#receiving = session.onMessage("f", (frame) => this.#receive(frame));
    this.#flushed = session.listen({ flushed: () => (this.#table = new DirectTable("", [], this.#turn)) });
  }

  /** Completes each message. */
  send(batch: readonly OutMessage[]): void {
    for (const message of batch) {
      const refusal = this.#refusal(message);
      if (refusal === undefined) this.#waiting.push(new Parcel(message));
      else message.failed("no", refusal);
    }
    if (this.#sending.length === 0) void this.#sendAll();
  }

  async open(
    source: Extract<Source, { readonly kind: "direct" | "inbox" }>,
    sink: Sink,
    window: Window,
  ): Promise<Consumption> {
    const number = (this.#consumerNumber += 1);
    if (source.kind === "direct") {
      const consumer = new DirectConsumer(this, number, { group: source.group }, sink, window);
      this.#consumers.set(number, consumer);
      return consumer;
    }
    const address = newAddress(this.#session.process, this.#session.clock);
    const inbox = new DirectConsumer(this, number, { address }, sink, window);
    this.#inboxes.set(address, inbox);
    return inbox;
  }

  ticks(): number {
    return this.#session.clock.ticks();
  }

  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): Promise<void> {
    if (consumer.address !== undefined) return Promise.resolve();
    const { number, group } = consumer;
    return this.#presence.set({ number, group, patterns, answers });
  }

  async leave(consumer: DirectConsumer): Promise<void> {
    if (consumer.address !== undefined) {
      this.#inboxes.delete(consumer.address);
      return;
    }
    // what was sent to it before everybody knew still comes
    await this.#presence.delete(consumer.number);
    this.#consumers.delete(consumer.number);
  }

  /** Before the session is closed, so that nobody chooses us any more; who can't be told finds out when our lease ends. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const error = new DriverError("BUS_CLOSED", "redis: the connection was closed");
    for (const parcel of this.#sending) parcel.fail("unknown", error);
    for (let parcel = this.#waiting.shift(); parcel !== undefined; parcel = this.#waiting.shift())
      parcel.fail("no", error);
    this.#flushed[Symbol.dispose]();
    await unlessAborted(this.#presence.close(), signal);
    this.#receiving[Symbol.dispose]();
  }

  #refusal({ to, notBefore }: OutMessage): DriverError | undefined {
    if (this.#closed) return new DriverError("BUS_CLOSED", "redis: the connection was closed");
    if (!this.#session.isUp) return new DriverError("BUS_CONNECTION", "redis: not connected", { retryable: true });
    if (notBefore !== undefined && notBefore > this.#session.clock.now())
      return new DriverError("BUS_UNSUPPORTED", "redis: what is stored nowhere can't be delayed");
    if (to.kind === "inbox" && processOf(to.address) === undefined)
      return new DriverError("BUS_NOT_FOUND", "redis: the address of the answer is not an inbox's");
    return undefined;
  }

  /** One script at a time: what comes meanwhile goes with the next, and a second choice can't be overtaken. */
  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const parcels = this.#next();
      this.#sending = parcels;
      try {
        await this.#sendSome(parcels);
      } catch (error) {
        const outcome = outcomeOf(error);
        const failure =
          replyWord(error) === "GONE"
            ? new DriverError("BUS_CONNECTION", "redis: the database was flushed", { retryable: true, cause: error })
            : error;
        for (const parcel of parcels) parcel.fail(outcome, failure);
      }
    }
    this.#sending = [];
  }

  #next(): readonly Parcel[] {
    const parcels: Parcel[] = [];
    let bytes = 0;
    while (parcels.length < mostAtOnce) {
      const next = this.#waiting.peek();
      if (next === undefined || (parcels.length > 0 && bytes + next.size > mostBytesAtOnce)) break;
      bytes += next.size;
      parcels.push(this.#waiting.shift()!);
    }
    return parcels;
  }

  async #sendSome(parcels: readonly Parcel[]): Promise<void> {
    const checked = parcels.some(({ message }) => message.to.kind === "direct");
    for (;;) {
      const now = this.#session.clock.now();
      for (const parcel of parcels) parcel.choose(this.#table);
      this.#turn += parcels.length;
      if (await this.#pass(checked ? this.#table.revision : anyRevision, parcels, now)) break;
    }
    // nobody was there at some of them: the next of its group
    for (let left = parcels.filter((parcel) => parcel.chooseAgain()); left.length > 0;) {
      await this.#pass(anyRevision, left, this.#session.clock.now());
      left = left.filter((parcel) => parcel.chooseAgain());
    }
    for (const parcel of parcels) parcel.finish();
  }

  /** False: who listens to what has changed, so nothing was sent. */
  async #pass(revision: string, parcels: readonly Parcel[], now: number): Promise<boolean> {
    const frames = new Map<string, Buffer[]>();
    for (const parcel of parcels) parcel.write(frames, now);
    const args: Arg[] = [revision];
    for (const [process, all] of frames) args.push(process, all.length === 1 ? all[0]! : Buffer.concat(all));
    const answer = await this.#session.run(directScript, args);
    if (Buffer.isBuffer(answer)) {
      const counts = answer.toString().split(" ");
      const of = new Map([...frames.keys()].map((process, index) => [process, Number(counts[index])]));
      for (const parcel of parcels) parcel.reached(of);
      return true;
    }
    const [current = "", ...rows] = textsOf(answer);
    const processes = Array.from(
      { length: rows.length / 2 },
      (_, index) => [rows[index * 2]!, rows[index * 2 + 1]!] as const,
    );
    this.#table = new DirectTable(current, processes, this.#turn);
    return false;
  }

  #receive(frames: Buffer): void {
    const reader = new FrameReader(frames);
    while (!reader.done) this.#take(reader);
  }

  #take(reader: FrameReader): void {
    const kind = reader.text();
    const target = reader.text();
    const consumer = kind === "i" ? this.#inboxes.get(target) : this.#consumers.get(Number(target));
    const message = directMessage(reader, kind === "i" ? "inbox" : "direct");
    const valid = reader.text();
    // else it left, or waits for no answer any more
    consumer?.take(message, valid === "" ? Infinity : this.ticks() + Number(valid));
  }
}
