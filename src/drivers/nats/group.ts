import type { Consumption, InMessage, Note, Settlement, Sink, Window } from "../../driver.ts";
import { DriverError } from "../../internal/driver-error.ts";
import type { Defined } from "./definition.ts";
import { Arrivals, type Host } from "./group-arrivals.ts";
import { type Lane, partIn } from "./group-lane.ts";
import { Lanes } from "./group-lanes.ts";
import { Looks } from "./group-looks.ts";
import { type GroupDefinition, isBuried, said, specOf } from "./group-plan.ts";
import { join, leaveGroup } from "./joining.ts";
import type { Chair } from "./members.ts";
import type { NatsMessage } from "./message.ts";
import { UnderWay } from "./under-way.ts";
import { endedUnlessAborted } from "../../internal/unless-aborted.ts";
import type { Pull } from "./pull.ts";
import { Puller } from "./puller.ts";
import { Settler } from "./settler.ts";
import type { Shared } from "./shared.ts";

type Result = "done" | "stale" | "unknown";

const lookMs = 1_000;
/** How long a message may wait here for room while another member could have it. */
const holdMs = 250;
const deleted = "the stream was deleted";

/**
 * A member of a group that keeps no order among its members: it reads by the consumers that all members share, one for each
 * part of the definition and one for the group's queue.
 */
export class UnorderedGroup implements Consumption, Host {
  readonly address: undefined = undefined;
  readonly group: string;
  readonly #shared: Shared;
  readonly #sink: Sink;
  readonly #left: () => void;
  readonly #settler: Settler;
  readonly #arrivals: Arrivals;
  #lanes: Lanes | undefined;
  #looks: Looks | undefined;
  readonly #puller: Puller;
  readonly #watches: Disposable[] = [];
  readonly #recorded = new WeakSet<NatsMessage>();
  readonly #returning = new WeakSet<NatsMessage>();
  #chair: Chair | undefined;
  #definition!: GroupDefinition;
  #revision = 0;
  readonly #underWay = new UnderWay();
  #state: "open" | "stopping" | "stopped" | "closed" = "open";
  /** Why it ended by itself. */
  #reason: unknown;
  #stopping: Promise<void> | undefined;
  #renewal: Disposable | undefined;
  #renewMs = 0;
  #timer: Disposable | undefined;
  #hold: Disposable | undefined;

  private constructor(shared: Shared, group: string, sink: Sink, window: Window, left: () => void) {
    this.#left = left;
    this.#shared = shared;
    this.group = group;
    this.#sink = sink;
    this.#settler = new Settler(shared, group);
    this.#arrivals = new Arrivals(shared, this, this.#settler);
    this.#puller = new Puller(shared.session, shared.api, window, {
      messages: (messages, pull) => {
        const lane = this.#lanes?.of(pull);
        if (lane !== undefined) this.#arrivals.take(messages, lane);
      },
      gone: (pull, error, idle) => void this.#gone(pull, error, idle),
    });
  }

  /** Resolves when everything that is published from now on will be delivered. */
  static async open(
    shared: Shared,
    group: string,
    sink: Sink,
    window: Window,
    resume: ReadonlyMap<string, string> | undefined,
    left: () => void = () => undefined,
  ): Promise<UnorderedGroup> {
    const member = new UnorderedGroup(shared, group, sink, window, left);
    try {
      await member.#start(resume);
      if (member.#reason === undefined) return member;
      throw member.#reason; // it ended meanwhile
    } catch (error) {
      await member.#end();
      throw member.#reason ?? error;
    }
  }

  get member(): string {
    return this.#chair?.id ?? "";
  }
  get definition(): GroupDefinition {
    return this.#definition;
  }
  get open(): boolean {
    return this.#state === "open";
  }
  get closed(): boolean {
    return this.#state === "closed";
  }

  deliver(messages: readonly NatsMessage[]): void {
    for (let index = 0; index < messages.length; index += 1) messages[index]!.given = true;
    this.#sink.deliver(messages);
  }

  drop(messages: readonly NatsMessage[]): void {
    for (const message of messages) {
      if (message.owner === undefined) continue;
      this.takeOut(message);
      message.over = true;
    }
    this.#puller.free(messages);
  }

  handBack(messages: readonly NatsMessage[]): void {
    if (messages.length > 0 && this.#state === "stopped") void this.#underWay.track(this.#handBack(messages));
  }

  takeOut(message: NatsMessage): void {
    const lane = message.owner as Lane | undefined; // none: it was held back
    if (lane?.hand.get(message.sequence) === message) lane.hand.delete(message.sequence);
  }

  putBack(message: NatsMessage): void {
    const lane = message.owner as Lane | undefined;
    if (message.over || lane === undefined) return;
    if (lane.hand.has(message.sequence)) this.drop([message]);
    else lane.hand.set(message.sequence, message);
  }

  async look(): Promise<GroupDefinition | undefined> {
    const found = await this.#shared.definitions.get(this.group);
    if (found !== undefined) this.#apply(found);
    return found?.definition;
  }

  window(window: Window, partition?: string): void {
    if (partition === undefined) this.#puller.window(window);
    else this.#puller.partitionWindow(partition, window);
  }

  wants(): Promise<void> {
    return Promise.resolve();
  }

  ack(messages: readonly InMessage[]): void {
    const ours = (messages as readonly NatsMessage[]).filter(({ over }) => !over);
    if (ours.length === 0) return;
    for (const { owner } of ours) (owner as Lane).touched = true;
    this.#settler.ack(ours);
    this.drop(ours);
  }

  settle(batch: readonly Settlement[]): Promise<readonly Result[]> {
    return this.#underWay.track(Promise.all(batch.map((settlement) => this.#settle(settlement))));
  }

  async record(notes: readonly Note[]): Promise<readonly ("done" | "stale")[]> {
    const recording = notes.map(async (note) => {
      const message = note.message as NatsMessage;
      if (message.over) return "stale";
      await this.#settler.record(note);
      this.#recorded.add(message);
      return message.over ? "stale" : "done";
    });
    return await this.#underWay.track(Promise.all(recording));
  }

  async flush(): Promise<void> {
    await this.#settler.flush();
  }

  stop(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "stopping";
      this.#stopping = this.#puller.stop().then(() => {
        if (this.#state !== "stopping") return undefined;
        this.#state = "stopped";
        // nobody is to wait for our slowest handler for it
        this.handBack(this.#inHand().filter((message) => !message.given && !this.#arrivals.deciding.has(message)));
        return undefined;
      });
    }
    return this.#stopping ?? Promise.resolve();
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === "closed") return;
    // whatever of this fails or takes too long: the ack wait brings back what is in hand, and the lease frees the seat
    await endedUnlessAborted(this.stop(), signal);
    this.#puller.close(); // or what is given back came to us again
    await endedUnlessAborted(this.#underWay.ended(), signal);
    const left = this.#inHand();
    if (signal.aborted) this.#settler.abandon([...left, ...this.#arrivals.offers.messages]);
    else {
      await endedUnlessAborted(this.#arrivals.offers.close(), signal);
      await endedUnlessAborted(this.#handBack(left), signal);
      if (this.#looks !== undefined) await endedUnlessAborted(this.#looks.close(), signal);
    }
    await endedUnlessAborted(this.#end(), signal);
  }

  async #start(resume: ReadonlyMap<string, string> | undefined): Promise<void> {
    const { members, session } = this.#shared;
    const { found, chair, lost, known } = await join(this.#shared, this.group, resume);
    this.#chair = chair;
    this.#definition = found.definition;
    this.#revision = found.revision;
    const lanes = new Lanes(this.#shared, this.#puller, found.definition, () => this.#renew());
    this.#lanes = lanes;
    this.#watches.push(
      members.listen({
        defined: (group, definition, revision) => {
          if (group !== this.group || revision <= this.#revision) return;
          if (definition === undefined) this.#ended(this.#deleted());
          else this.#apply({ definition, revision });
        },
      }),
      session.watch({
        up: () => {
          this.#settler.again();
          this.#arrivals.offers.forget();
        },
      }),
    );
    await lanes.open();
    const now = await this.#shared.definitions.get(this.group);
    if (now?.definition.first !== found.definition.first) throw this.#deleted(); // of another bucket a revision means nothing
    this.#apply(now);
    if (lost) this.#sink.lost(undefined, deleted);
    this.#looks = new Looks(
      this.#shared,
      {
        current: () => this.#definition,
        lanes: () => lanes,
        floor: (partition, position) => this.#state !== "closed" && this.#sink.floor(partition, position),
        lost: (count, reason) => this.#state !== "closed" && this.#sink.lost(count, reason),
      },
      known,
    );
    await this.#looks.look(); // what the core is told of the floors is where it goes on, whatever happens from now on
    lanes.start();
    this.#lookLater(lookMs);
  }

  /** What a newer definition changes for us. Nothing is handed out by an older one from then on. */
  #apply({ definition, revision }: Defined): void {
    if (this.#state === "closed" || revision < this.#revision) return;
    const before = this.#definition;
    if (definition.first !== before.first) return this.#ended(this.#deleted());
    this.#definition = definition;
    this.#revision = revision;
    let lost = false;
    for (const lane of this.#lanes!.define(definition)) {
      lost ||= isBuried(definition, lane.part!) && this.#lanes!.left(lane);
      this.#close(lane);
    }
    if (lost) this.#sink.lost(undefined, deleted);
    if (definition.again !== undefined)
      this.#shared.definitions.swap(said(definition), revision).catch(() => undefined); // who joins next says it once more
    if (definition.change !== undefined) this.#chair?.update({ knows: definition.revision }).catch(() => undefined); // renewed soon
    if (JSON.stringify(definition.reads) !== JSON.stringify(before.reads)) this.#sink.spec(specOf(definition));
  }

  /** Its part was settled to its end, or is no longer what the group reads. */
  #close(lane: Lane): void {
    this.#lanes!.drop(lane);
    this.#settler.forget(lane.consumer);
    const left = [...lane.hand.values()];
    this.drop(left);
    if (left.length > 0) this.#sink.revoked(left);
  }

  /** Deleted at the server: by one who saw that it is done, or behind everybody's back. */
  async #gone(pull: Pull, error: unknown, idle: boolean): Promise<void> {
    const lane = this.#lanes?.of(pull);
    if (lane === undefined) return;
    lane.idle = idle;
    const definition = await this.look().catch(() => this.#definition); // unanswered: whoever opens it again reads it
    if (this.#state === "closed" || this.#lanes?.of(pull) !== lane) return;
    if (definition === undefined) return this.#ended(this.#deleted());
    const known = lane.part === undefined ? undefined : partIn(definition, lane.part);
    if (known?.end !== undefined) return this.#close(lane);
    const stream = lane.part === undefined ? undefined : await this.#shared.streams.look(lane.stream).catch(() => null); // not known
    if (this.closed || this.#lanes?.of(pull) !== lane) return; // a newer definition came meanwhile, and it was said
    if (stream !== null && lane.part !== undefined && stream?.facts.created !== lane.part.created)
      if (this.#lanes!.left(lane)) this.#sink.lost(undefined, deleted);
    this.#ended(error);
  }

  #deleted(): DriverError {
    return new DriverError("BUS_NOT_FOUND", `group (${this.group}): was deleted`, { retryable: true });
  }

  /** The core opens it again, from what it was told of the floors. */
  #ended(error: unknown): void {
    if (this.#state === "closed") return;
    this.#reason = error;
    void this.#end();
    this.#sink.ended(error, false);
  }

  async #end(): Promise<void> {
    this.#state = "closed";
    this.#left();
    this.#puller.close();
    this.#arrivals.offers.drop();
    for (const watch of this.#watches.splice(0)) watch[Symbol.dispose]();
    for (const timer of [this.#renewal, this.#timer, this.#hold]) timer?.[Symbol.dispose]();
    this.#lanes?.close();
    if (this.#chair !== undefined) await leaveGroup(this.#shared, this.#definition, this.#chair).catch(() => undefined); // it runs out
  }

  #inHand(): readonly NatsMessage[] {
    return [...(this.#lanes?.inHand() ?? []), ...this.#puller.takeHeld()];
  }

  /** What was merely fetched comes to the next one as if it were fresh; a suspect that did not run stays one. */
  async #handBack(messages: readonly NatsMessage[]): Promise<void> {
    await this.#settler.flush().catch(() => undefined); // what was acknowledged in vain comes again
    const returning = messages.filter((message) => !this.#returning.has(message));
    for (const message of returning) this.#returning.add(message);
    await Promise.allSettled(
      returning.map((message) => this.#settler.giveBack(message, 0, { unseen: !this.#recorded.has(message) }, this)),
    );
    for (const message of returning) this.#returning.delete(message);
  }

  async #settle(settlement: Settlement): Promise<Result> {
    const message = settlement.message as NatsMessage;
    if (message.over) return "stale";
    const { clock } = this.#shared.session;
    try {
      if (settlement.how === "dead") await this.#settler.dead(message, settlement.letter);
      else if (settlement.how === "release")
        await this.#arrivals.release(message, settlement.delayMs, settlement.headers, !this.#recorded.has(message));
      else {
        const { delayMs, attempts, headers } = settlement;
        const notBefore = delayMs > 0 ? clock.now() + delayMs : undefined;
        await this.#settler.giveBack(message, delayMs, { attempts, headers, notBefore }, this);
      }
    } catch {
      return message.over ? "stale" : "unknown"; // it is still in hand
    }
    if (message.over) return "stale";
    (message.owner as Lane).touched = true;
    this.drop([message]);
    return "done";
  }

  /** What is in hand stays ours, however long its handler takes: renewed within the shortest patience of its consumers. */
  #renew(): void {
    if (this.#state === "closed") return;
    const wait = Math.min(...[...this.#lanes!].map(({ ackWaitMs }) => ackWaitMs)) / 3;
    if (this.#renewal !== undefined && wait >= this.#renewMs) return; // comes soon enough
    this.#renewal?.[Symbol.dispose]();
    this.#renewMs = wait;
    this.#renewal = this.#shared.session.clock.after(wait, () => {
      this.#renewal = undefined;
      if (this.#state === "closed") return;
      this.#settler.renew([...this.#lanes!.inHand(), ...this.#puller.held()]);
      this.#arrivals.offers.renew();
      this.#renew();
    });
  }

  #lookLater(ms: number): void {
    this.#timer = this.#shared.session.clock.after(ms, () => {
      if (this.#state === "closed") return;
      this.#giveUpHeld();
      this.#lanes!.look();
      void this.#looks!
        .look()
        .catch(() => undefined) // disconnected
        .then(() => this.#state !== "closed" && this.#lookLater(lookMs));
    });
  }

  /** Nobody here has room for what came beside the window; another member may have. */
  #giveUpHeld(): void {
    if (this.#hold !== undefined || this.#puller.held().length === 0) return;
    const held = new Set(this.#puller.held());
    this.#hold = this.#shared.session.clock.after(holdMs, () => {
      this.#hold = undefined;
      const others = this.#shared.members.open(this.group, this.#definition.first).length > 1;
      if (this.#state !== "open" || !others) return;
      const late = this.#puller.takeHeld((message) => held.has(message));
      void this.#handBack(late);
    });
  }
}
