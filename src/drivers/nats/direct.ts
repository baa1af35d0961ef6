import type { Consumption, OutMessage, Sink, Source, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { ClientMessage } from "./client.ts";
import { DirectConsumer } from "./direct-consumer.ts";
import { outHeaders, statusOf } from "./headers.ts";
import type { Session, SessionSubscription } from "./session.ts";
import type { Shared } from "./shared.ts";

/**
 * Requests, their answers and what may be lost: core NATS. A request names a subject of its own within its inbox for the
 * answer, so that the server's word that nobody listens (503) is known to be about it. What was not returned when the server
 * has answered a ping that was written after it has reached somebody.
 */
export class DirectLane {
  readonly #shared: Pick<Shared, "session" | "streams">;
  readonly #session: Session;
  /** Where answers that nobody waits for any more come back to. */
  readonly #returns: string;
  readonly #open = new Map<string, OutMessage>();
  #returning: SessionSubscription | undefined;
  #tokens = 0;

  constructor(shared: Pick<Shared, "session" | "streams">) {
    const { session } = shared;
    this.#shared = shared;
    this.#session = session;
    this.#returns = session.newInbox();
  }

  /** Completes each message. */
  send(batch: readonly OutMessage[]): void {
    const waiting: string[] = [];
    for (const message of batch) {
      const reply = this.#write(message);
      if (reply !== undefined) waiting.push(reply);
    }
    if (waiting.length > 0) void this.#prove(waiting);
  }

  async open(
    source: Extract<Source, { readonly kind: "direct" | "inbox" }>,
    sink: Sink,
    window: Window,
    left: () => void,
  ): Promise<Consumption> {
    if (source.kind === "direct")
      return new DirectConsumer(this.#shared, source.group, undefined, sink, window, () => undefined, left);
    const address = this.#session.newInbox();
    const stops = (): void => {
      for (const subscription of subscriptions) subscription.unsubscribe();
    };
    const inbox = new DirectConsumer(this.#shared, undefined, address, sink, window, stops, left);
    const take = (message: ClientMessage): void => {
      if (statusOf(message) === 503) this.#returned(message.subject);
      else inbox.take(message);
    };
    const subscriptions = [address, `${address}.*`].map((subject) => this.#session.subscribe(subject, take));
    try {
      if (this.#session.connected) await this.#session.flush();
    } catch (error) {
      stops();
      throw error;
    }
    return inbox;
  }

  close(): void {
    this.#returning?.unsubscribe();
    const error = new DriverError("BUS_CLOSED", "nats: the connection was closed");
    for (const message of [...this.#open.values()]) message.failed("unknown", error);
    this.#open.clear();
  }

  /** The subject at which a return would come, when one can. */
  #write(message: OutMessage): string | undefined {
    const { to, body, notBefore, replyTo } = message;
    if (to.kind !== "direct" && to.kind !== "inbox") throw new TypeError(`a message to a ${to.kind}`);
    if (notBefore !== undefined && notBefore > this.#session.clock.now()) {
      message.failed("no", new DriverError("BUS_UNSUPPORTED", "nats: what is stored nowhere can't be delayed"));
      return undefined;
    }
    const { names } = this.#session;
    const headers = outHeaders(
      { brokerId: "", key: message.key, replyTo: undefined, headers: message.headers },
      undefined,
    );
    if (to.kind === "direct" && replyTo === undefined) {
      if (this.#session.publish(names.direct(to.topic), body, headers)) message.stored();
      else message.failed("no", this.#refusal(body));
      return undefined;
    }
    if (to.kind === "inbox")
      this.#returning ??= this.#session.subscribe(`${this.#returns}.*`, ({ subject }) => this.#returned(subject));
    this.#tokens += 1;
    const reply = `${to.kind === "direct" ? replyTo! : this.#returns}.${this.#tokens}`;
    const subject = to.kind === "direct" ? names.request(to.topic) : to.address;
    this.#open.set(reply, message);
    if (this.#session.publish(subject, body, headers, reply)) return reply;
    this.#open.delete(reply);
    message.failed("no", this.#refusal(body));
    return undefined;
  }

  async #prove(replies: readonly string[]): Promise<void> {
    let lost: { readonly error: unknown } | undefined;
    try {
      await this.#session.flush();
    } catch (error) {
      lost = { error };
    }
    for (const reply of replies) {
      const message = this.#open.get(reply);
      if (!this.#open.delete(reply)) continue;
      if (lost === undefined) message!.stored();
      else message!.failed("unknown", lost.error);
    }
  }

  #returned(reply: string): void {
    const message = this.#open.get(reply);
    if (!this.#open.delete(reply)) return;
    const { to } = message!;
    const error =
      to.kind === "direct"
        ? new DriverError("BUS_NO_RESPONDER", `nats: nobody listens to "${to.topic}"`)
        : new DriverError("BUS_NOT_FOUND", "nats: nobody waits for this answer any more");
    message!.failed("no", error);
  }

  #refusal({ byteLength }: Uint8Array): DriverError {
    const { connected, maxPayload } = this.#session;
    if (!connected) return new DriverError("BUS_CONNECTION", "nats: not connected", { retryable: true });
    return new DriverError("BUS_TOO_LARGE", `nats: ${byteLength} bytes and headers; the server takes ${maxPayload}`);
  }
}
