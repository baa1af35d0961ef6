import type { GroupDefinition } from "./group-plan.ts";
import { type Lane, verdictOf } from "./group-lane.ts";
import type { NatsMessage } from "./message.ts";
import { Offers } from "./offers.ts";
import type { Hand, Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";

/** What a consumption of an unordered group has to say to what arrives. */
export interface Host extends Hand {
  readonly group: string;
  readonly member: string;
  readonly definition: GroupDefinition;
  readonly open: boolean;
  readonly closed: boolean;
  /** The core gets them now. */
  deliver(messages: readonly NatsMessage[]): void;
  /** Nothing more becomes of them here. */
  drop(messages: readonly NatsMessage[]): void;
  /** No handler here will see them. */
  handBack(messages: readonly NatsMessage[]): void;
  /** As the leader has it now; undefined: it is gone. */
  look(): Promise<GroupDefinition | undefined>;
}

const againMs = 250;
const waitMs = 20;
/** So often in vain: whoever began the change is gone. */
const patience = 25;

/** From a delivery by the server to its being handed out: at once when it is fresh, after a look at its note when it is not. */
export class Arrivals {
  readonly #shared: Shared;
  readonly #host: Host;
  readonly #settler: Settler;
  readonly offers: Offers;
  /** Their notes are being read, or the definition. */
  readonly deciding: Set<NatsMessage> = new Set();

  constructor(shared: Shared, host: Host, settler: Settler) {
    this.#shared = shared;
    this.#host = host;
    this.#settler = settler;
    this.offers = new Offers(shared, settler, (by) => this.#others(by));
  }

  take(messages: readonly NatsMessage[], lane: Lane): void {
    const ready: NatsMessage[] = [];
    let late: NatsMessage[] | undefined;
    let skipped: NatsMessage[] | undefined;
    lane.touched = true;
    for (let index = 0; index < messages.length; index += 1) {
      const message = messages[index]!;
      const { delivery } = message;
      lane.waiting = delivery.pending;
      const before = lane.hand.get(delivery.sequence);
      if (before !== undefined) {
        before.reply = message.reply; // the newer one settles it
        this.#host.drop([message]);
        continue;
      }
      if (this.#settler.settledBefore(message)) {
        this.#host.drop([message]);
        continue;
      }
      message.owner = lane;
      const answer = verdictOf(this.#host.definition, lane, message);
      if (answer === "skip") {
        (skipped ??= []).push(message);
        continue;
      }
      lane.hand.set(delivery.sequence, message);
      if (answer === "take" && delivery.delivered === 1) ready.push(message);
      else (late ??= []).push(message);
    }
    if (skipped !== undefined) this.#skip(skipped);
    if (!this.#host.open) return; // they are handed back
    if (ready.length > 0) this.#host.deliver(ready);
    if (late !== undefined) void this.#later(late, lane);
  }

  /** For another member: one that has not given it up may have it at once, the others after the delay. */
  async release(
    message: NatsMessage,
    delayMs: number,
    headers: NatsMessage["noted"]["headers"],
    unseen: boolean,
  ): Promise<void> {
    const { clock } = this.#shared.session;
    const { by: before = [] } = message.noted;
    const { member } = this.#host;
    // again after all others had it: the next round begins
    const by = before.includes(member) ? [member] : [...before, member];
    const restMs = delayMs > 0 && this.#others(by) > 0 ? 0 : delayMs;
    const note = { headers, notBefore: undefined, by, until: clock.now() + delayMs, unseen };
    await this.#settler.giveBack(message, restMs, note, this.#host);
  }

  /** Members that have not given it up. */
  #others(by: readonly string[]): number {
    const { group, definition } = this.#host;
    return this.#shared.members.open(group, definition.first).filter((member) => !by.includes(member)).length;
  }

  async #later(messages: readonly NatsMessage[], lane: Lane): Promise<void> {
    for (const message of messages) this.deciding.add(message);
    const answers = await Promise.all(messages.map((message) => this.#decide(message, lane)));
    const ours = (wanted: "take" | "skip"): readonly NatsMessage[] =>
      messages.filter((message, index) => answers[index] === wanted && lane.hand.get(message.sequence) === message);
    this.#skip(ours("skip"));
    const ready = ours("take");
    for (const message of messages) this.deciding.delete(message);
    if (ready.length > 0 && this.#host.open) this.#host.deliver(ready);
    else this.#host.handBack(ready);
  }

  #skip(messages: readonly NatsMessage[]): void {
    if (messages.length === 0) return;
    this.#settler.ack(messages);
    this.#host.drop(messages);
  }

  async #decide(message: NatsMessage, lane: Lane): Promise<"take" | "skip" | "gone"> {
    if (message.delivery.delivered > 1 && !(await this.#recall(message))) return "gone";
    for (let times = 0; ; times += 1) {
      const answer = verdictOf(this.#host.definition, lane, message);
      if (answer === "take" || answer === "skip") return answer;
      let definition: GroupDefinition | undefined;
      try {
        definition = await this.#host.look();
      } catch {
        if (this.#host.closed) return "gone";
        await this.#shared.members.next(againMs);
        continue; // what is not known now is not guessed
      }
      if (this.#host.closed || definition === undefined) return "gone";
      const now = verdictOf(definition, lane, message);
      if (now === "ask") return "take"; // asked for after the receipt, and still nobody fixes an end
      if (now !== "wait") return now;
      // what of it fails another member does, or the next who waits so long
      if (times === patience) this.#shared.definitions.finish(this.#host.group).catch(() => undefined);
      await this.#shared.members.next(waitMs);
    }
  }

  /** False: it is not for us, now. */
  async #recall(message: NatsMessage): Promise<boolean> {
    for (;;) {
      try {
        await this.#settler.recall(message);
        const { by = [], until = 0 } = message.noted;
        const givenUp = { by, until };
        if (!this.offers.waits(this.#host.member, givenUp)) return true;
        // before it comes again
        this.#host.drop([message]);
        await this.offers.keep(message, givenUp);
        return false;
      } catch {
        if (this.#host.closed) return false;
        await this.#shared.members.next(againMs);
        if (message.over) return false;
      }
    }
  }
}
