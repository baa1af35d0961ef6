import type { OutMessage, Sink, Source, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { DirectRegistry, type ListenerRow } from "../../internal/rows/direct-registry.ts";
import { bytesArray } from "./binary-array.ts";
import { isLost, outcomeOf } from "./classify.ts";
import { DirectConsumer } from "./direct-consumer.ts";
import { frameOf, messageOfFrame } from "./direct-frame.ts";
import { closedError } from "./link.ts";
import type { Seats } from "./seats.ts";
import type { Session } from "./session.ts";
import { arrayOf, bytesOf, numberOf, textArrayOf } from "./values.ts";

interface Listening extends ListenerRow {
  readonly process: number;
  /** What is announced to it arrives; else it looks for rows. */
  readonly hears: boolean;
}

/** An announcement carries 7,999 bytes at most; this much of it is the frame, in base64. */
const mostInline = 5_800;
const mostAtOnce = 256;
/** A row that nobody fetched. */
const longestMs = 60_000;
/** What waits at the server for a line that is lost ends within a second. */
const unsureMs = 2_000;

/**
 * Requests, their answers and what may be lost: announced to the process that listens, without a row and without the disk where
 * they are small. Who listens is kept in memory, and each sending asks in passing whether that is still so.
 */
export class DirectLane {
  readonly #session: Session;
  readonly #seats: Seats;
  #registering = 0;
  /** A registration whose answer was lost may still wait at the server. */
  #unsure = false;
  readonly #local = new Map<number, DirectConsumer>();
  readonly #delayed = new Set<Disposable>();
  readonly #ears: readonly Disposable[];
  #registry = new DirectRegistry<Listening>([]);
  /** Of `meta`: moves whenever somebody comes, goes or wants something else. */
  #known = "";
  #waiting: OutMessage[] = [];
  #sending = false;
  #receiving: Promise<void> = Promise.resolve();
  #poll: Disposable | undefined;
  #fetching = false;

  constructor(session: Session, seats: Seats) {
    this.#session = session;
    this.#seats = seats;
    this.#ears = [
      session.onNews("p", (rest) => this.#take(rest)),
      session.listen({ replaced: () => void (this.#known = "") }), // its numbers may be the same, and tell of others
    ];
    seats.onRejoined(() => void this.#registerAgain());
  }

  now(): number {
    return this.#session.clock.now();
  }

  /** Completes each message. */
  send(batch: readonly OutMessage[]): void {
    for (const message of batch) {
      const { notBefore } = message;
      if (notBefore === undefined || notBefore <= this.now()) this.#waiting.push(message);
      else this.#sendLater(message, notBefore);
    }
    if (!this.#sending) void this.#run();
  }

  async open(
    source: Extract<Source, { readonly kind: "direct" | "inbox" }>,
    sink: Sink,
    window: Window,
  ): Promise<DirectConsumer> {
    const address = source.kind === "inbox" ? this.#newAddress() : undefined;
    const group = source.kind === "inbox" ? undefined : source.group;
    const consumer = new DirectConsumer(this, group, address, sink, window);
    await this.#register(consumer);
    this.#pollLater();
    return consumer;
  }

  async wants(consumer: DirectConsumer): Promise<void> {
    const id = await this.#hear(consumer, consumer.id);
    if (id === undefined) await this.#registerOne(consumer);
  }

  async leave(consumer: DirectConsumer): Promise<void> {
    this.#local.delete(consumer.id);
    await this.#session.worker.query("SELECT {1:unhear}($1)", [String(consumer.id)]).catch(() => undefined); // with its process, then
  }

  close(): void {
    for (const timer of this.#delayed) timer[Symbol.dispose]();
    for (const ear of this.#ears) ear[Symbol.dispose]();
    this.#poll?.[Symbol.dispose]();
    for (const message of this.#waiting.splice(0)) message.failed("no", closedError());
  }

  async #register(consumer: DirectConsumer): Promise<void> {
    this.#registering += 1;
    try {
      consumer.id = (await this.#hear(consumer, undefined)) as number;
      this.#local.set(consumer.id, consumer);
    } catch (error) {
      if (isLost(error)) this.#unsure = true;
      throw error;
    } finally {
      this.#registering -= 1;
    }
  }

  /** Undefined: its row is gone. */
  async #hear(consumer: DirectConsumer, id: number | undefined): Promise<number | undefined> {
    const { group, address, patterns, answers } = consumer;
    const { hears } = this.#session;
    const [row] = await this.#session.worker.query("SELECT {1:hear}($1, $2, $3, $4, $5, $6, $7)", [
      id === undefined ? null : String(id),
      String(await this.#seats.joined()),
      group ?? null,
      address ?? null,
      JSON.stringify(patterns),
      JSON.stringify(answers),
      String(hears),
    ]);
    consumer.hears = hears;
    return row?.[0] === null || row === undefined ? undefined : numberOf(row[0]);
  }

  async #registerOne(consumer: DirectConsumer): Promise<void> {
    const former = consumer.id;
    await this.#register(consumer); // until then it is known by its former number: the line may be lost once more
    if (former !== consumer.id) this.#local.delete(former);
    if (consumer.stopped) return await this.leave(consumer); // meanwhile
    await this.#hear(consumer, consumer.id);
  }

  /** After a reconnect: a crash of the server empties the table, and what was announced meanwhile is gone. */
  async #registerAgain(): Promise<void> {
    this.#known = "";
    try {
      const rows = await this.#session.worker.query("SELECT id FROM {listener} WHERE process = $1", [
        String(this.#seats.process),
      ]);
      const there = new Set(rows.map(([id]) => numberOf(id)));
      for (const consumer of [...this.#local.values()])
        if (!there.has(consumer.id)) await this.#registerOne(consumer);
        else if (consumer.hears !== this.#session.hears) await this.#hear(consumer, consumer.id); // as through a pooler now
      this.#pollLater();
      // who left while there was no line, or was registered by a question whose answer was lost
      for (const id of there)
        if (!this.#local.has(id) && this.#registering === 0)
          await this.#session.worker.query("SELECT {1:unhear}($1)", [String(id)]);
      if (this.#unsure) this.#session.later(unsureMs, () => void this.#registerAgain());
      this.#unsure = false;
    } catch (error) {
      if (!isLost(error)) this.#session.later(250, () => void this.#registerAgain());
    }
  }

  async #run(): Promise<void> {
    this.#sending = true;
    while (this.#waiting.length > 0) await this.#sendNow(this.#waiting.splice(0, mostAtOnce));
    this.#sending = false;
  }

  async #sendNow(batch: readonly OutMessage[]): Promise<void> {
    try {
      while (!(await this.#tell(batch)));
    } catch (error) {
      const stored = outcomeOf(error);
      for (const message of batch) message.failed(stored, error);
    }
  }

  /** False: who listens has changed, and now is known. */
  async #tell(batch: readonly OutMessage[]): Promise<boolean> {
    if (this.#known === "") await this.#refresh();
    const now = this.now();
    const told: { readonly id: number; readonly message: OutMessage; readonly to: Listening }[] = [];
    const nobody: OutMessage[] = [];
    for (const message of batch) {
      const ids = this.#idsFor(message);
      if (ids.length === 0) nobody.push(message);
      for (const id of ids) told.push({ id, message, to: this.#registry.rows.get(id)! });
    }
    const frames = told.map(({ message }) => frameOf(message, now));
    const asRow = told.map(({ to }, at) => !to.hears || frames[at]!.length > mostInline);
    const [row] = await this.#session.worker.query("SELECT {1:tell}($1, $2, $3, $4, $5, $6)", [
      this.#known,
      textArrayOf(told.map(({ to }) => this.#session.names.channel(to.process))),
      textArrayOf(told.map(({ id }, at) => `p ${id} ${asRow[at] === true ? "#" : frames[at]!.toString("base64")}`)),
      arrayOf(told.map(({ id }) => id)),
      bytesArray(frames.map((frame, at) => (asRow[at] === true ? frame : null))),
      arrayOf(told.map(({ message }) => Math.ceil(Math.min(longestMs, (message.expiresAt ?? now + longestMs) - now)))),
    ]);
    if (row?.[0] !== this.#known) {
      this.#known = "";
      return false;
    }
    for (const message of batch) if (!nobody.includes(message)) message.stored();
    for (const message of nobody) this.#unheard(message);
    return true;
  }

  #unheard(message: OutMessage): void {
    const { to, replyTo } = message;
    if (to.kind === "inbox")
      message.failed("no", new DriverError("BUS_NOT_FOUND", "postgres: nobody waits for this answer any more"));
    else if (replyTo === undefined || to.kind !== "direct") message.stored();
    else message.failed("no", new DriverError("BUS_NO_RESPONDER", `postgres: nobody listens to "${to.topic}"`));
  }

  #idsFor({ to, replyTo }: OutMessage): readonly number[] {
    if (to.kind === "inbox") {
      const id = this.#registry.at(to.address);
      return id === undefined ? [] : [id];
    }
    return to.kind === "direct" ? this.#registry.choose(to.topic, replyTo !== undefined, () => true) : [];
  }

  async #refresh(): Promise<void> {
    // the number first: what changes between the two is found by the next sending
    const [known] = await this.#session.worker.query("SELECT value FROM {meta} WHERE key = 'direct'");
    const rows = await this.#session.worker.query(
      "SELECT id, process, grp, address, patterns, answers, hears FROM {listener} ORDER BY id",
    );
    this.#registry = new DirectRegistry(
      rows.map(([id, process, grp = null, address = null, patterns, answers, hears]) => ({
        id: numberOf(id),
        process: numberOf(process),
        grp,
        address,
        patterns: patterns ?? "[]",
        answers: answers ?? "[]",
        hears: hears === "t",
      })),
    );
    this.#known = known?.[0] ?? "";
  }

  #sendLater(message: OutMessage, due: number): void {
    const timer = this.#session.clock.after(due - this.now(), () => {
      this.#delayed.delete(timer);
      const { to, id, brokerId, key, hash, replyTo, expiresAt, durable, priority, headers, body, value } = message;
      const again = { to, id, brokerId, key, hash, replyTo, expiresAt, durable, priority, headers, body, value };
      this.send([{ ...again, notBefore: undefined, stored: () => undefined, failed: () => undefined }]);
    });
    this.#delayed.add(timer);
    message.stored();
  }

  /** One after the other: what comes behind a row waits for it. */
  #take(rest: string): void {
    const blank = rest.indexOf(" ");
    const consumer = this.#local.get(Number(rest.slice(0, blank)));
    const what = rest.slice(blank + 1);
    if (consumer === undefined) return;
    const row = what.startsWith("#") ? this.#fetch(what.slice(1)) : undefined;
    this.#receiving = this.#receiving.then(async () => {
      const frame = row === undefined ? Buffer.from(what, "base64") : await row;
      if (frame !== undefined) this.#offer(consumer, frame);
    });
  }

  #offer(consumer: DirectConsumer, frame: Buffer): void {
    consumer.offer(messageOfFrame(frame, consumer.address === undefined ? "direct" : "inbox", this.now()));
  }

  async #fetch(id: string): Promise<Buffer | undefined> {
    try {
      const [row] = await this.#session.worker.query("DELETE FROM {direct} WHERE id = $1 RETURNING frame", [id]);
      return row === undefined ? undefined : bytesOf(row[0]);
    } catch {
      return undefined; // what is under way when the connection is lost is gone
    }
  }

  /** Where nothing is heard. */
  #pollLater(): void {
    if (this.#poll !== undefined || this.#session.hears) return;
    this.#poll = this.#session.later(Math.min(20, this.#session.pollMs), () => {
      this.#poll = undefined;
      void this.#look().finally(() => {
        if (this.#local.size > 0) this.#pollLater();
      });
    });
  }

  async #look(): Promise<void> {
    if (this.#fetching || !this.#session.isUp) return;
    this.#fetching = true;
    try {
      const rows = await this.#session.worker.query(
        `WITH taken AS (DELETE FROM {direct} WHERE consumer = ANY ($1::bigint[]) RETURNING id, consumer, frame)
         SELECT consumer, frame FROM taken ORDER BY id`,
        [arrayOf([...this.#local.keys()])],
      );
      for (const [id, frame] of rows) {
        const consumer = this.#local.get(numberOf(id));
        if (consumer !== undefined) this.#offer(consumer, bytesOf(frame));
      }
    } catch {
      // with the next look
    } finally {
      this.#fetching = false;
    }
  }

  /** 160 bits of chance. */
  #newAddress(): string {
    const word = (): string =>
      Math.floor(this.#session.clock.random() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, "0");
    return `inbox.${word()}${word()}${word()}${word()}${word()}`;
  }
}
