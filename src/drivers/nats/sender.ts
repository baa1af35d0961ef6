import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import { pubAck } from "./api.ts";
import type { Waiting } from "./ack-inbox.ts";
import type { ClientMessage } from "./client.ts";
import { apiCode, ApiError, isApiError } from "./errors.ts";
import { outHeaders, type RawHeaders } from "./headers.ts";
import type { Shared } from "./shared.ts";

/** What a send meets that others must know of. */
export interface SenderEvents {
  /** A stream refuses because it is full. */
  full(stream: string): void;
  /** Nobody takes what is sent to it: deleted, or without a leader at the moment. */
  missing(stream: string | undefined): void;
}

/** One that waits for its answer. */
class Sent implements Waiting {
  subject = "";
  readonly #message: OutMessage;
  /** Undefined: a group's queue. */
  readonly #stream: string | undefined;
  readonly #events: SenderEvents;

  constructor(message: OutMessage, stream: string | undefined, events: SenderEvents) {
    this.#message = message;
    this.#stream = stream;
    this.#events = events;
  }

  answered(answer: ClientMessage): void {
    let ack: { readonly seq: number; readonly duplicate?: boolean };
    try {
      ack = pubAck(answer);
    } catch (error) {
      // an error is an answer: nothing was stored; one that is no answer at all leaves it open, and so does one that says
      // that an earlier try waits for the majority of a cluster
      const isOpen = !(error instanceof ApiError) || isApiError(error, apiCode.duplicateUnderWay);
      this.#message.failed(isOpen ? "unknown" : "no", this.#explained(error));
      return;
    }
    this.#message.stored(String(ack.seq), ack.duplicate === true);
  }

  lost(written: boolean, error: unknown): void {
    this.#message.failed(written ? "unknown" : "no", error);
  }

  #explained(error: unknown): unknown {
    if (isApiError(error, apiCode.storeFailed)) {
      // one code for every failure to store: here the words decide
      if (!/maximum (?:messages|bytes)/i.test(error.message)) return error;
      if (this.#stream !== undefined) this.#events.full(this.#stream);
      return new DriverError("BUS_FULL", "nats: the stream is full", { retryable: true, cause: error });
    }
    if (error instanceof ApiError && error.status === 503) {
      this.#events.missing(this.#stream);
      return new DriverError("BUS_CONNECTION", "nats: no stream takes it at the moment", {
        retryable: true,
        cause: error,
      });
    }
    return error;
  }
}

/** Publishes to streams and queues: everything of a turn in one write, each completed by its own answer. */
export class Sender {
  readonly #shared: Shared;
  readonly #events: SenderEvents;

  constructor(shared: Shared, events: SenderEvents) {
    this.#shared = shared;
    this.#events = events;
  }

  /** Of kind topic or queue. */
  send(message: OutMessage): void {
    const { streams, delayed } = this.#shared;
    const { to, notBefore } = message;
    // also when its time came since its first try: it may be cancelled
    if (notBefore !== undefined) return delayed.later(message);
    if (to.kind === "queue") return this.#toQueue(message, to.group, to.topic);
    if (to.kind !== "topic") return;
    const facts = streams.get(to.stream);
    if (facts !== undefined) {
      const { max_bytes: most = -1 } = facts.config;
      if (most > 0 && message.body.byteLength > most) {
        const text = `nats: ${message.body.byteLength} bytes are more than stream "${to.stream}" may hold`;
        return message.failed("no", new DriverError("BUS_TOO_LARGE", text));
      }
      const subject = facts.event(message.hash % facts.partitions, to.topic);
      return this.#publish(message, subject, to.stream, outHeaders(message, facts.native));
    }
    this.#events.missing(to.stream);
    const error = new DriverError("BUS_NOT_FOUND", `nats: there is no stream "${to.stream}"`, { retryable: true });
    message.failed("no", error);
  }

  #toQueue(message: OutMessage, group: string, topic: string): void {
    const { names } = this.#shared.session;
    this.#publish(message, names.queued(group, topic), undefined, outHeaders(message, names.queue, group));
  }

  #publish(message: OutMessage, subject: string, stream: string | undefined, headers: RawHeaders): void {
    this.#shared.session.publishAcked(subject, message.body, headers, new Sent(message, stream, this.#events));
  }
}
