import type { Clock } from "../../clock.ts";
import type { ConnectContext, Member } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { AckInbox, type Waiting } from "./ack-inbox.ts";
import type { ClientMessage, NatsClient, NatsStatus, NatsSubscription } from "./client.ts";
import { classify, NoAnswer } from "./errors.ts";
import { followClient } from "./follow-client.ts";
import type { RawHeaders } from "./headers.ts";
import { Names } from "./names.ts";
import { Overdue } from "./overdue.ts";
import { openClient } from "./open-client.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import type { ResolvedOptions } from "./options.ts";
import { ServerVersion } from "./version.ts";

export interface SessionListener {
  /** After each (re)connection; subscriptions stand again. */
  up?(): void;
  down?(error: unknown): void;
}

export interface SubscribeOptions {
  readonly queue?: string;
  /** The user may not subscribe. */
  readonly refused?: (error: unknown) => void;
}

export interface SessionSubscription {
  unsubscribe(): void;
  /** What is under way still comes. */
  drain(): Promise<void>;
}

interface Standing {
  readonly subject: string;
  readonly options: SubscribeOptions;
  readonly callback: (message: ClientMessage) => void;
  native: NatsSubscription;
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const noBody = new Uint8Array(0);

/** One connection to the server: the client below reconnects, and is replaced when it gave up for ever. */
export class Session {
  readonly context: ConnectContext;
  readonly options: ResolvedOptions;
  readonly names: Names;
  readonly #listeners = new Set<SessionListener>();
  readonly #standing = new Set<Standing>();
  readonly #answers: AckInbox;
  readonly #overdue: Overdue;
  /** A client that is closed leaves its own pending. */
  readonly #flushes = new Set<(error: NoAnswer) => void>();
  #client: NatsClient;
  #connected = true;
  #closed = false;
  #version: ServerVersion;
  #following: Disposable | undefined;
  #listening: SessionSubscription | undefined;
  /** Why no answer can come. */
  #deaf: DriverError | undefined;

  constructor(client: NatsClient, options: ResolvedOptions, context: ConnectContext) {
    this.#client = client;
    this.options = options;
    this.context = context;
    this.names = new Names(context.prefix);
    this.#version = new ServerVersion(client.info?.version ?? "");
    this.#answers = new AckInbox(this.newInbox());
    this.#overdue = new Overdue({
      clock: this.clock,
      answers: this.#answers,
      timeoutMs: options.requestTimeoutMs,
      flush: () => this.flush(),
      fault: (error) => this.fault(error),
    });
    this.#listen();
    this.#follow(client);
  }

  get clock(): Clock {
    return this.context.clock;
  }

  get member(): Member {
    return this.context.member;
  }

  get client(): NatsClient {
    return this.#client;
  }

  get version(): ServerVersion {
    return this.#version;
  }

  get clustered(): boolean {
    return this.#client.info?.cluster !== undefined;
  }

  /** Of the server that we are connected to now. */
  get maxPayload(): number {
    return this.#client.info?.max_payload ?? 1_048_576;
  }

  get connected(): boolean {
    return this.#connected;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** 22 random letters and digits. */
  id(): string {
    let id = "";
    for (let count = 0; count < 22; count += 1) id += alphabet[Math.floor(this.clock.random() * 62)];
    return id;
  }

  /** What begins a subject that nobody can guess. */
  newInbox(): string {
    const id = this.id();
    return this.options.inboxPrefix === undefined ? this.names.inbox(id) : `${this.options.inboxPrefix}.${id}`;
  }

  /** No answer is wanted. False: not written. */
  publish(subject: string, body: Uint8Array = noBody, headers?: RawHeaders, reply?: string): boolean {
    return this.#write(subject, body, headers, reply) === undefined;
  }

  /** Ends with the answer, with the connection, or as unanswered after `requestTimeoutMs`. */
  publishAcked(subject: string, body: Uint8Array, headers: RawHeaders | undefined, waiting: Waiting): void {
    const reply = this.#answers.add(subject, waiting, this.clock.ticks());
    const problem = this.#write(subject, body, headers, reply);
    if (problem === undefined) return this.#overdue.watch();
    this.#answers.drop(reply);
    waiting.lost(false, problem);
  }

  /** What is published from now on has this number or a higher one. */
  get published(): number {
    return this.#answers.next;
  }

  /** Publishes to such subjects, up to a number, that can have no answer any more: their stream was made again since. */
  async unanswered(before: number, subjects: string): Promise<void> {
    await this.flush();
    this.#answers.unanswered(before, subjects, "the stream was deleted before it answered");
  }

  /** Rejects with `NoAnswer`, or the refusal. An answer may be a mere status: `statusOf`. */
  ask(
    subject: string,
    body: Uint8Array = noBody,
    headers?: RawHeaders,
    timeoutMs: number = this.options.requestTimeoutMs,
  ): Promise<ClientMessage> {
    return new Promise((resolve, reject) => {
      const reply = this.#answers.add(subject, {
        answered: (message) => {
          timer[Symbol.dispose]();
          resolve(message);
        },
        lost: (written, error) => {
          timer[Symbol.dispose]();
          reject(error instanceof NoAnswer ? error : refused(written, error));
        },
      });
      const timer = this.clock.after(timeoutMs, () => {
        this.#answers.drop(reply);
        reject(new NoAnswer(`no answer from the server within ${timeoutMs} ms`, true, { timedOut: true }));
      });
      const problem = this.#write(subject, body, headers, reply);
      if (problem === undefined) return;
      timer[Symbol.dispose]();
      this.#answers.drop(reply);
      reject(problem);
    });
  }

  subscribe(
    subject: string,
    callback: (message: ClientMessage) => void,
    options: SubscribeOptions = {},
  ): SessionSubscription {
    const standing = { subject, callback, options } as Standing;
    standing.native = this.#stand(standing);
    this.#standing.add(standing);
    return {
      unsubscribe: () => {
        if (this.#standing.delete(standing)) standing.native.unsubscribe();
      },
      drain: async () => {
        if (this.#standing.delete(standing)) await this.#whileUp(standing.native.drain());
      },
    };
  }

  /** Everything that was written before is at the server. */
  async flush(timeoutMs: number = this.options.requestTimeoutMs): Promise<void> {
    if (!this.#connected) throw new NoAnswer("not connected", false);
    await this.#whileUp(this.#client.flush(), timeoutMs);
  }

  /** What a client that is closed leaves pending for ever, and one whose server stands still until its pings tell. */
  async #whileUp(answer: Promise<void>, timeoutMs: number = this.options.requestTimeoutMs): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = this.clock.after(timeoutMs, () =>
      reject(new NoAnswer(`no answer from the server within ${timeoutMs} ms`, true, { timedOut: true })),
    );
    answer.then(resolve, (cause: unknown) => reject(new NoAnswer("the connection was lost", true, { cause })));
    this.#flushes.add(reject);
    try {
      await promise;
    } finally {
      this.#flushes.delete(reject);
      timer[Symbol.dispose]();
    }
  }

  watch(listener: SessionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** A fault of ours: said, never thrown into the client, whose reader would end. The words could hold a payload. */
  fault(error: unknown): void {
    const { name, stack = "" } = error instanceof Error ? error : new Error("thrown");
    const at = stack
      .split("\n")
      .filter((line) => line.startsWith("    at "))
      .slice(0, 3)
      .join(" ");
    this.context.warn("nats: a fault in the driver; what it was about may come again", { error: name, at });
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#overdue.close();
    this.#following?.[Symbol.dispose]();
    const client = this.#client;
    if (this.options.connection !== undefined) {
      for (const { native } of this.#standing) native.unsubscribe();
      // the user's connection goes on, and writes it later
      if (this.#connected) await endedUnlessAborted(client.flush(), signal);
    } else {
      // what was written leaves before the socket is closed
      if (this.#connected && !client.isClosed()) await endedUnlessAborted(client.drain(), signal);
      await client.close().catch(() => undefined); // it is closed all the same
    }
    this.#standing.clear();
    this.#lost(new DriverError("BUS_CLOSED", "nats: the connection is closed"));
  }

  #listen(): void {
    this.#deaf = undefined;
    this.#listening?.unsubscribe();
    this.#listening = this.subscribe(`${this.#answers.prefix}*`, this.#answers.take, {
      refused: (cause) => {
        // whoever waits for an answer is told, now and from now on
        const where = `${this.options.inboxPrefix ?? this.names.inbox("")}.>`.replace("..", ".");
        const text = `nats: the user may not subscribe to "${where}", where answers arrive; "inboxPrefix" moves them`;
        this.#deaf = new DriverError("BUS_AUTHENTICATION", text, { cause });
        this.#answers.end(this.#deaf);
      },
    });
  }

  #write(
    subject: string,
    body: Uint8Array,
    headers: RawHeaders | undefined,
    reply: string | undefined,
  ): Error | undefined {
    if (this.#closed) return new DriverError("BUS_CLOSED", "nats: the connection is closed");
    // the client would take it and drop it without a word
    if (!this.#connected) return new NoAnswer("not connected", false);
    if (this.#deaf !== undefined && reply?.startsWith(this.#answers.prefix)) return this.#deaf;
    try {
      this.#client.publish(
        subject,
        body,
        reply === undefined && headers === undefined ? undefined : { reply, headers },
      );
      return undefined;
    } catch (cause) {
      const { code } = classify(cause);
      if (code !== "BUS_INVALID_OPTION") return new NoAnswer("not connected", false, { cause });
      return new DriverError(
        "BUS_TOO_LARGE",
        `nats: larger than the server's max_payload of ${this.maxPayload} bytes`,
        {
          cause,
        },
      );
    }
  }

  #stand({ subject, options, callback }: Standing): NatsSubscription {
    return this.#client.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        try {
          if (error === null) callback(message);
          else options.refused?.(error);
        } catch (fault) {
          this.fault(fault);
        }
      },
    });
  }

  #follow(client: NatsClient): void {
    this.#following?.[Symbol.dispose]();
    this.#following = followClient(client, {
      status: (status) => this.#status(status),
      closed: (error) => void this.#rebuild(error),
    });
  }

  #status({ type, error }: NatsStatus): void {
    if (type === "disconnect") this.#lost(new NoAnswer("the connection to the server was lost", true));
    else if (type === "reconnect") this.#back();
    else if (type === "error") {
      const { name, operation, subject } = error as Error & { readonly operation?: string; readonly subject?: string };
      if (name === "PermissionViolationError" && operation === "publish" && subject !== undefined)
        this.#answers.refused(subject, error);
    }
  }

  #lost(error: unknown): void {
    const was = this.#connected;
    this.#connected = false;
    this.#answers.lost(error);
    for (const reject of this.#flushes) reject(new NoAnswer("the connection was lost", true, { cause: error }));
    if (!was || this.#closed) return;
    this.context.status({ type: "disconnected", error });
    this.#tell((listener) => listener.down?.(error));
  }

  /** One that throws must not keep it from the others, nor end the reading of statuses. */
  #tell(what: (listener: SessionListener) => void): void {
    for (const listener of [...this.#listeners])
      try {
        what(listener);
      } catch (fault) {
        this.fault(fault);
      }
  }

  #back(): void {
    if (this.#connected || this.#closed) return;
    this.#connected = true;
    this.#version = new ServerVersion(this.#client.info?.version ?? "");
    if (this.#deaf !== undefined) this.#listen(); // its rights may be others by now
    this.context.status({ type: "connected" });
    this.#tell((listener) => listener.up?.());
  }

  /** The client gave up: twice the same refusal, a password that was changed. */
  async #rebuild(cause: Error | undefined): Promise<void> {
    const gone = new NoAnswer("the connection to the server was closed", true, { cause });
    if (this.#connected) this.#lost(gone);
    else if (cause !== undefined) this.context.status({ type: "disconnected", error: gone }); // now it is known why
    if (this.options.connection !== undefined) return; // not ours to replace
    for (let wait = 250; !this.#closed; wait = Math.min(wait * 2, 10_000)) {
      await new Promise<void>((resolve) => void this.clock.after(wait * (0.5 + this.clock.random() / 2), resolve));
      if (this.#closed) return;
      const client = await openClient(this.options, this.context).catch(() => undefined); // later again
      if (client === undefined) continue;
      if (this.#closed) return void client.close();
      this.#client = client;
      try {
        for (const standing of this.#standing) standing.native = this.#stand(standing);
      } catch {
        void client.close(); // it was closed again at once
        continue;
      }
      this.#follow(client);
      this.#back();
      return;
    }
  }
}

function refused(written: boolean, error: unknown): Error {
  return classify(error).code === "BUS_SERVER"
    ? new NoAnswer("no answer", written, { cause: error })
    : (error as Error);
}
