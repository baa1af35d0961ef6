import type { OutMessage } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { DirectConsumer } from "./direct-consumer.ts";
import { DirectIndex } from "./direct-index.ts";
import { Entry, type Origin } from "./memory-message.ts";

const direct: Origin = { lane: "direct", partition: undefined };

export function directEntry(topic: string, message: OutMessage, now: number): Entry {
  return new Entry(direct, topic, message, now, 0, 0);
}

/** The lane outside every stream: a request reaches those who answer, anything else those who listen now. */
export class DirectLane {
  readonly #listeners = new DirectIndex();
  readonly #responders = new DirectIndex();

  /** Takes the place of what it wanted before. */
  wants(consumer: DirectConsumer, patterns: readonly string[], answers: readonly string[]): void {
    this.#listeners.set(consumer, patterns);
    this.#responders.set(consumer, answers);
  }

  leave(consumer: DirectConsumer): void {
    this.#listeners.delete(consumer);
    this.#responders.delete(consumer);
  }

  /** Completes the message. */
  accept(topic: string, message: OutMessage, now: number): void {
    const taken = this.offer(directEntry(topic, message, now));
    if (taken || message.replyTo === undefined) message.stored();
    else message.failed("no", new DriverError("BUS_NO_RESPONDER", `request (${topic}): nobody answers it`));
  }

  /** False when nobody wants it. */
  offer(entry: Entry): boolean {
    let taken = false;
    for (const consumer of this.#for(entry).match(entry.topic)) {
      consumer.offer(entry);
      taken = true;
    }
    return taken;
  }

  /** To another of the group, if there is one. */
  pass(group: string, entry: Entry): void {
    this.#for(entry).matchGroup(group, entry.topic)?.offer(entry);
  }

  #for(entry: Entry): DirectIndex {
    return entry.replyTo === undefined ? this.#listeners : this.#responders;
  }
}
