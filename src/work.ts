import type { InMessage } from "./driver.ts";
import type { Bagged } from "./internal/bag.ts";
import type { Envelope } from "./envelope.ts";
import type { BusEvent } from "./event.ts";
import type { ResolvedRetry } from "./normalise.ts";
import type { Gate } from "./order-gate.ts";
import type { Track, Tracked } from "./run-ahead.ts";
import type { WheelTimer } from "./timer-wheel.ts";

/** How one handler's run of one message ended. Undefined: done. `back`: not handled, and not its fault. */
export type RunEnd = { readonly kind: "failed"; readonly error: unknown } | { readonly kind: "back" } | undefined;
/** Also what a handler of ours rejects with to say so. */
export const handBack: { readonly kind: "back" } = { kind: "back" };

/** One subscription's handler, as the intake sees it. */
export interface Runner {
  /** The handler's identity in its group: travels with retries and letters. */
  readonly name: string;
  readonly patterns: readonly string[];
  readonly retry: ResolvedRetry;
  readonly handOnMs: number;
  /** Runs at once, in messages: the intake starts no more than the sum. */
  readonly capacity: number;
  readonly prefetch: number;
  readonly paused: boolean;
  /** How many wait for it while it is paused. */
  readonly stalled: number;
  /** `newer`: its definition is older than the event. */
  accepts(envelope: Envelope): "yes" | "no" | "newer";
  /** The event as this handler gets it, validated; throws or rejects with what is wrong. */
  view(envelope: Envelope): BusEvent | Promise<BusEvent>;
  /** Runs the handler now or when it has room, then calls `work.ended` once. */
  start(work: Work, event: BusEvent): void;
  /** The message is no longer ours: aborts its run, or forgets it. */
  abort(work: Work, reason: unknown): void;
  /** Gives back what waits for room. */
  giveBack(): void;
}

/** Who hears of a work. */
export interface WorkOwner {
  finished(work: Work): void;
  quiet(work: Work): void;
}

const noRunners: readonly Runner[] = [];
const noHistory: readonly { readonly at: number; readonly error: string }[] = [];

/** One message on its way through the handlers of this process. */
export class Work implements Tracked, Bagged {
  readonly message: InMessage;
  readonly #owner: WorkOwner;
  /** What order is kept by; undefined where none is. */
  readonly key: string | undefined;
  /** Of its key, since it entered. */
  gate: Gate<Work> | undefined = undefined;
  /** Stored nowhere: retried here, then reported and gone. */
  readonly local: boolean;
  // its place in its partition: run-ahead.ts
  track: Track | undefined = undefined;
  number = 0;
  older: Tracked | undefined = undefined;
  newer: Tracked | undefined = undefined;
  held = false;
  slot = -1;
  state: "gated" | "parked" | "ready" | "suspect" | "running" | "settling" | "gone" = "ready";
  suspect = false;
  /** Of what is parked. */
  timer: WheelTimer | undefined = undefined;
  /** Handler runs before this one. */
  attempts: number;
  envelope: Envelope | undefined = undefined;
  /** Those that run it now, or are about to. */
  runners: readonly Runner[] = noRunners;
  /** What the only one of them gets. */
  event: BusEvent | undefined = undefined;
  /** What several get, in their order. */
  events: readonly BusEvent[] | undefined = undefined;
  #pending = 0;
  failures: { readonly runner: Runner; readonly error: unknown }[] | undefined = undefined;
  handedBack = false;
  /** Names of handlers that are done, and of those that gave up; from the headers, then kept here. */
  done: Set<string> | undefined = undefined;
  givenUp: Set<string> | undefined = undefined;
  firstFailedAt: number | undefined = undefined;
  history: readonly { readonly at: number; readonly error: string }[] = noHistory;
  /** A replay of what its key was halted by: it hands out what is parked when it is done; `passes`: nothing is. */
  halt: "ends" | "passes" | undefined = undefined;
  /** Runs that were given up on by their time-out and have not ended yet. */
  lingering = 0;
  /** What waits for the lingering runs. */
  whenQuiet: (() => void) | undefined = undefined;
  /** Lost to another owner, or to closing: nothing is settled any more. */
  revoked = false;

  constructor(message: InMessage, owner: WorkOwner, key: string | undefined, local: boolean) {
    this.message = message;
    this.#owner = owner;
    this.key = key;
    this.local = local;
    this.attempts = message.attempts;
  }

  sees(event: BusEvent): true {
    this.event = event;
    return true;
  }

  /** Before its runners start. */
  begin(): void {
    this.#pending = this.runners.length;
    this.failures = undefined;
    this.handedBack = false;
  }

  ended(runner: Runner, end: RunEnd): void {
    if (end === undefined) {
      if (this.runners.length > 1 || this.done !== undefined) (this.done ??= new Set()).add(runner.name);
    } else if (end.kind === "back") this.handedBack = true;
    else (this.failures ??= []).push({ runner, error: end.error });
    this.#pending -= 1;
    if (this.#pending === 0) this.#owner.finished(this);
  }

  lingers(): void {
    this.lingering += 1;
  }

  settled(): void {
    this.lingering -= 1;
    if (this.lingering > 0 || this.whenQuiet === undefined) return;
    const next = this.whenQuiet;
    this.whenQuiet = undefined;
    next();
    this.#owner.quiet(this);
  }
}
