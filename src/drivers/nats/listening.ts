import { DriverError } from "../../internal/driver-error.ts";
import { matchesPattern, withoutCovered } from "../../internal/topic-trie.ts";
import type { ClientMessage } from "./client.ts";
import { isOldest, nextSubjects } from "./direct-subjects.ts";
import { afterTokens } from "./names.ts";
import type { Session, SessionSubscription } from "./session.ts";

/** The subscriptions of one listener to one kind of direct subject. */
export class Listening {
  readonly #session: Session;
  readonly #subjectOf: (pattern: string) => string;
  readonly #group: string | undefined;
  readonly #take: (message: ClientMessage) => void;
  readonly #subscriptions = new Map<string, SessionSubscription>();
  #patterns: readonly string[] = [];
  #wanted: readonly string[] = [];
  #refusal: { readonly error: unknown } | undefined;

  /** With a group, which is the queue at the server, each message goes to one of its listeners. */
  constructor(
    session: Session,
    subjectOf: (pattern: string) => string,
    group: string | undefined,
    take: (message: ClientMessage) => void,
  ) {
    this.#session = session;
    this.#subjectOf = subjectOf;
    this.#group = group;
    this.#take = take;
  }

  /** Subscribes to what is new. What is over is for the caller to drain, once that stands. */
  change(wanted: readonly string[]): readonly SessionSubscription[] {
    this.#wanted = wanted;
    this.#patterns = this.#group === undefined ? nextSubjects(this.#patterns, wanted) : withoutCovered(wanted);
    for (const pattern of this.#patterns)
      if (!this.#subscriptions.has(pattern)) this.#subscriptions.set(pattern, this.#subscribe(pattern));
    const over: SessionSubscription[] = [];
    for (const [pattern, subscription] of this.#subscriptions) {
      if (this.#patterns.includes(pattern)) continue;
      this.#subscriptions.delete(pattern);
      over.push(subscription);
    }
    return over;
  }

  /** Why the server refused a subscription since this was last asked. */
  takeRefusal(): { readonly error: unknown } | undefined {
    const refusal = this.#refusal;
    this.#refusal = undefined;
    return refusal;
  }

  #subscribe(pattern: string): SessionSubscription {
    const refused = (cause: unknown): void => {
      const subject = this.#subjectOf(pattern);
      const text = `nats: the user may not subscribe to "${subject}"`;
      this.#refusal = { error: new DriverError("BUS_AUTHENTICATION", text, { cause }) };
      this.#subscriptions.delete(pattern);
      this.#patterns = this.#patterns.filter((each) => each !== pattern);
    };
    if (this.#group !== undefined)
      return this.#session.subscribe(this.#subjectOf(pattern), this.#take, { queue: this.#group, refused });
    const take = (message: ClientMessage): void => {
      const topic = afterTokens(message.subject, 2);
      const index = this.#patterns.indexOf(pattern);
      if (index < 0 || !isOldest(this.#patterns, index, topic)) return;
      if (this.#wanted.some((each) => matchesPattern(each, topic))) this.#take(message);
    };
    return this.#session.subscribe(this.#subjectOf(pattern), take, { refused });
  }
}
