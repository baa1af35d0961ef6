import type { ClientMessage } from "./client.ts";
import { headerOf, statusOf, statusText } from "./headers.ts";
import { pullStep } from "./pull-status.ts";
import type { Session, SessionSubscription } from "./session.ts";

export interface PullListener {
  /** Those of one reading turn, in the consumer's order. */
  messages(messages: readonly ClientMessage[]): void;
  /** A request is over: ask again what is wanted. `waiting`: whether there is certainly something, if that is known. */
  room(waiting: boolean | undefined): void;
  /** The consumer was deleted. `idle`: a request had been open for a while, so nothing waited. */
  gone(idle: boolean): void;
  /** No heartbeat, or nobody there: is there still a consumer? */
  look(): void;
}

interface Request {
  /** `single`: without a limit of bytes, and the server says nothing when it is served. `probe`: says that there is something. */
  readonly kind: "batch" | "single" | "probe";
  readonly messages: number;
  readonly bytes: number;
}

const longestMs = 30_000;
const quietMs = 50;
const idleMs = 100;
/** What the server counts beside the body. */
const overhead = 256;
const encoder = new TextEncoder();

/**
 * The requests to one consumer for its next messages. Two may be open, so that the server need not wait for the next one; each
 * ends by a status of its own. A probe asks for one message of one byte, which no message is: the server answers as soon as
 * there is one, and delivers nothing.
 */
export class Pull {
  readonly stream: string;
  readonly consumer: string;
  readonly #session: Session;
  readonly #listener: PullListener;
  readonly #subject: string;
  /** A member that stands still takes what comes to its open requests, so they last no longer than it would be trusted. */
  readonly #expiresMs: number;
  readonly #heartbeatMs: number;
  #inbox = "";
  #subscription: SessionSubscription | undefined;
  readonly #open = new Map<string, Request>();
  #next = 0;
  /** What the open requests may still bring. */
  #messages = 0;
  #bytes = 0;
  /** With so many bytes the next message did not fit. */
  #tooFew = 0;
  /** Tokens of open requests. */
  #probe: string | undefined;
  #single: string | undefined;
  #arrived: ClientMessage[] = [];
  /** What of those was asked for here: it counts as outstanding until it is given on, or for a moment nobody counted it. */
  #came = 0;
  #cameBytes = 0;
  /** Ticks of the last word from the server. */
  #heard = 0;
  /** Ticks of the last request or arrival. */
  #active = 0;
  #timer: Disposable | undefined;
  #state: "open" | "stopping" | "closed" = "open";

  constructor(session: Session, stream: string, consumer: string, listener: PullListener) {
    this.#session = session;
    this.stream = stream;
    this.consumer = consumer;
    this.#listener = listener;
    const { leaseMs, heartbeatMs } = session.options;
    this.#expiresMs = Math.min(longestMs, leaseMs);
    this.#heartbeatMs = Math.min(heartbeatMs, this.#expiresMs / 2);
    this.#subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.reset();
  }

  /** Messages that may still come. */
  get outstanding(): number {
    return this.#messages;
  }

  /** It has asked for a while, and nothing came: nothing waits. */
  get idle(): boolean {
    return this.#open.size > 0 && this.#isQuiet;
  }

  get #isQuiet(): boolean {
    return this.#session.clock.ticks() - this.#active >= idleMs;
  }

  /** A new inbox: what was asked for before, on a connection that is gone, is not ours any more. */
  reset(): void {
    if (this.#state !== "open") return;
    const old = this.#subscription;
    this.#clear();
    const inbox = `${this.#session.newInbox()}.`;
    this.#inbox = inbox;
    this.#subscription = this.#session.subscribe(`${inbox}*`, (message) => this.#take(inbox, message));
    // what the server sends to the old one all the same still comes, or it would be ours unseen until the ack wait
    void old?.drain().catch(() => undefined);
  }

  /** So much may come from now on, in all; `alone`: nothing is in hand, so that a message of any size may come. */
  want(messages: number, bytes: number, alone: boolean): void {
    if (this.#state !== "open" || !this.#session.connected || messages <= 0 || bytes <= 0) return;
    const open = this.#open.size - (this.#probe === undefined ? 0 : 1);
    if (open === 0) {
      if (this.#tooFew === 0 || bytes > this.#tooFew) this.#request({ kind: "batch", messages, bytes });
      else if (alone) this.#request({ kind: "single", messages: 1, bytes: 0 });
      return;
    }
    const more = messages - this.#messages;
    const left = bytes - this.#bytes;
    // a small one beside an open one is not worth it; one of few bytes would end with the first message that is larger
    if (open > 1 || this.#single !== undefined || more < messages / 2 || left < bytes / 2 || this.#tooFew > 0) return;
    this.#request({ kind: "batch", messages: more, bytes: left });
  }

  /** To be told when there is something, without getting it. */
  probe(): void {
    if (this.#state !== "open" || !this.#session.connected || this.#open.size > 0) return;
    this.#probe = this.#request({ kind: "probe", messages: 1, bytes: 1 });
  }

  /** No further request; what the server sends already still comes. */
  async stop(): Promise<void> {
    if (this.#state !== "open") return;
    this.#state = "stopping";
    const { clock } = this.#session;
    while (this.#messages > 0 && this.#session.connected) {
      const wait = this.#heard + quietMs - clock.ticks();
      if (wait <= 0) break;
      await new Promise<void>((resolve) => void clock.after(wait, resolve));
    }
    if (this.#session.connected) await this.#subscription?.drain().catch(() => undefined); // it is gone with its line
    this.close();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#flush();
    this.#state = "closed";
    this.#subscription?.unsubscribe();
    this.#clear();
  }

  #clear(): void {
    this.#open.clear();
    this.#probe = undefined;
    this.#single = undefined;
    this.#messages = 0;
    this.#bytes = 0;
    this.#came = 0;
    this.#cameBytes = 0;
    this.#tooFew = 0;
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #request(request: Request): string {
    const token = String(this.#next);
    this.#next += 1;
    const body = {
      batch: request.messages,
      ...(request.kind === "single" ? {} : { max_bytes: request.bytes }),
      expires: this.#expiresMs * 1e6,
      idle_heartbeat: this.#heartbeatMs * 1e6,
    };
    this.#open.set(token, request);
    if (request.kind === "single") this.#single = token;
    if (request.kind !== "probe") {
      this.#messages += request.messages;
      this.#bytes += request.bytes;
      this.#tooFew = 0;
    }
    this.#active = this.#session.clock.ticks();
    if (this.#open.size === 1) this.#heard = this.#active;
    this.#session.publish(this.#subject, encoder.encode(JSON.stringify(body)), undefined, this.#inbox + token);
    this.#timer ??= this.#session.clock.after(this.#heartbeatMs, this.#check);
    return token;
  }

  #take(inbox: string, message: ClientMessage): void {
    const isStatus = message.subject.startsWith(inbox);
    if (inbox === this.#inbox) {
      this.#heard = this.#session.clock.ticks();
      if (isStatus) return this.#status(message);
      this.#active = this.#heard;
      this.#came += 1;
      this.#cameBytes += message.data.byteLength + overhead;
      this.#tooFew = 0; // what did not fit came by another request
      if (this.#single !== undefined) {
        this.#open.delete(this.#single);
        this.#single = undefined;
      }
    } else if (isStatus) return;
    this.#arrived.push(message);
    if (this.#arrived.length === 1) queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    const messages = this.#arrived;
    if (messages.length === 0 || this.#state === "closed") return;
    this.#arrived = [];
    this.#messages = Math.max(this.#messages - this.#came, 0);
    this.#bytes = Math.max(this.#bytes - this.#cameBytes, 0);
    this.#came = 0;
    this.#cameBytes = 0;
    try {
      this.#listener.messages(messages);
    } catch (fault) {
      this.#session.fault(fault);
    }
  };

  #status(message: ClientMessage): void {
    const step = pullStep(statusOf(message), statusText(message));
    if (step === "alive") return;
    this.#flush();
    const token = message.subject.slice(this.#inbox.length);
    const request = this.#open.get(token);
    if (request === undefined) return;
    this.#open.delete(token);
    if (request.kind === "probe") this.#probe = undefined;
    else {
      this.#messages = Math.max(this.#messages - Number(headerOf(message, "Nats-Pending-Messages") ?? 0), 0);
      this.#bytes = Math.max(this.#bytes - Number(headerOf(message, "Nats-Pending-Bytes") ?? 0), 0);
      if (token === this.#single) this.#single = undefined;
    }
    if (this.#open.size === (this.#probe === undefined ? 0 : 1)) {
      this.#messages = 0;
      this.#bytes = 0;
    }
    if (this.#state !== "open") return;
    // a request of this moment may have been read and not served yet
    if (step === "gone") return this.#listener.gone(this.#isQuiet);
    if (step === "look") return this.#listener.look();
    // of a request that was partly served it is the rest that was too little
    if (step === "too-large" && request.kind === "batch")
      this.#tooFew = Number(headerOf(message, "Nats-Pending-Bytes") ?? request.bytes);
    this.#listener.room(step === "too-large" ? true : step === "empty" ? false : undefined);
  }

  /** An open request lets the server say every so often that it is there. */
  readonly #check = (): void => {
    this.#timer = undefined;
    if (this.#state !== "open" || this.#open.size === 0 || !this.#session.connected) return;
    if (this.#session.clock.ticks() - this.#heard > 2 * this.#heartbeatMs + 500) return this.#listener.look();
    this.#timer = this.#session.clock.after(this.#heartbeatMs, this.#check);
  };
}
