import { DriverError } from "../../internal/driver-error.ts";
import type { Definitions } from "./definitions.ts";
import type { GroupCounts } from "./group-counts.ts";
import type { Session } from "./session.ts";
import type { StoredStream } from "./stream-plan.ts";

interface Look {
  /** How many more the fullest group's queues take, when it was looked. */
  readonly room: number;
  readonly at: number;
}

interface State {
  look: Look | undefined;
  sent: number;
  messages: number;
  bytes: number;
  looking: Promise<void> | undefined;
  waiting: (() => void)[];
}

/** Below this it is looked before each message. */
const closeRoom = 64;
const farMs = 1_000;
/** A stream of this many bytes less is far from its limit in whatever it sends between two looks. */
const smallestBytes = 512;

/** `whenFull: "reject"`: no queue can refuse for all the others, so who publishes looks how full they are. */
export class Room {
  readonly #session: Session;
  readonly #definitions: Definitions;
  readonly #counts: GroupCounts;
  readonly #states = new Map<string, State>();
  /** Id of a group → since when nobody reads it, as far as we saw. */
  readonly #idleSince = new Map<string, number>();

  constructor(session: Session, definitions: Definitions, counts: GroupCounts) {
    this.#session = session;
    this.#definitions = definitions;
    this.#counts = counts;
  }

  /** In the order of the calls; at once where it is certain that there is room. */
  enter(stream: StoredStream, bytes: number, go: (refusal: DriverError | undefined) => void): void {
    if (stream.whenFull !== "reject") return go(undefined);
    let state = this.#states.get(stream.name);
    const isNear = state !== undefined && state.waiting.length === 0 && this.#isNear(state);
    if (!isNear && !this.#isRead(stream.name)) return go(undefined);
    if (state === undefined)
      this.#states.set(
        stream.name,
        (state = { look: undefined, sent: 0, messages: 0, bytes: 0, looking: undefined, waiting: [] }),
      );
    state.messages += 1;
    state.bytes += bytes;
    if (isNear) {
      state.sent += 1;
      return go(undefined);
    }
    state.waiting.push(() => {
      const { look } = state;
      const hasRoom = look === undefined || look.room > state.sent;
      if (hasRoom) state.sent += 1;
      go(hasRoom ? undefined : full(stream.name));
    });
    this.#look(stream, state);
  }

  /** The largest backlog of a group, idle ones aside. */
  async #backlog(stream: StoredStream): Promise<number> {
    let most = 0;
    const now = this.#session.clock.now();
    for (const definition of this.#definitions.groups) {
      if (!Object.hasOwn(definition.lanes, stream.name)) continue;
      const count = (await this.#counts.of(definition, stream.name)).get(stream.name);
      if (count === undefined) continue;
      if (count.consumers > 0) this.#idleSince.delete(definition.id);
      else if (!this.#idleSince.has(definition.id)) this.#idleSince.set(definition.id, now);
      const idleMs = now - (this.#idleSince.get(definition.id) ?? now);
      if (idleMs <= stream.idleGroupMs) most = Math.max(most, count.ready);
    }
    return most;
  }

  #isRead(stream: string): boolean {
    return this.#definitions.groups.some(({ lanes }) => Object.hasOwn(lanes, stream));
  }

  /** What was seen lately leaves room, whoever else publishes meanwhile. */
  #isNear({ look, sent }: State): boolean {
    if (look === undefined) return false;
    const left = look.room - sent;
    return left > closeRoom && sent < look.room / 2 && this.#session.clock.ticks() - look.at < farMs;
  }

  #look(stream: StoredStream, state: State): void {
    if (state.looking !== undefined) return;
    state.looking = this.#backlog(stream)
      .then(
        (backlog) => {
          const mean = Math.max(state.bytes / Math.max(state.messages, 1), smallestBytes);
          const most = Math.min(stream.maxMessages ?? Number.POSITIVE_INFINITY, Math.floor(stream.maxBytes / mean));
          state.look = { room: Math.max(most - backlog, 0), at: this.#session.clock.ticks() };
          state.sent = 0;
        },
        () => undefined, // whoever publishes finds out what is the matter
      )
      .finally(() => {
        state.looking = undefined;
        const waiting = state.waiting.splice(0);
        for (const each of waiting) each();
      });
  }
}

const full = (stream: string): DriverError =>
  new DriverError("BUS_FULL", `stream (${stream}): it holds as much as it may`, { retryable: true });
