import type { Clock } from "../../clock.ts";
import { DueQueue, type DueCall } from "./due-queue.ts";

/** Who has something to do at the end of a turn of the event loop. */
export interface TurnTaker {
  /** Waits for its turn already; owned by `StoreTime`. */
  woken: boolean;
  turn(): void;
}

/**
 * A store's time: the clock of the connection that came last, and what waits for it. Without a connection it stands still,
 * so that a store that nobody uses keeps no process alive; what was due meanwhile comes with the next connection.
 */
export class StoreTime {
  readonly #clocks: Clock[] = [];
  readonly #wall = new DueQueue((clock) => clock.now());
  readonly #ticks = new DueQueue((clock) => clock.ticks());
  readonly #run: () => void = () => this.#turn();
  readonly #afterTurn: () => void;
  #clock: Clock | undefined;
  #takers: TurnTaker[] = [];
  #spare: TurnTaker[] = [];
  #soon = false;
  #last = 0;

  constructor(afterTurn: () => void) {
    this.#afterTurn = afterTurn;
  }

  attach(clock: Clock): void {
    this.#clocks.push(clock);
    this.#use(clock);
  }

  detach(clock: Clock): void {
    const index = this.#clocks.lastIndexOf(clock);
    if (index >= 0) this.#clocks.splice(index, 1);
    this.#use(this.#clocks.at(-1));
  }

  now(): number {
    return this.#clock === undefined ? 0 : this.#clock.now();
  }

  ticks(): number {
    return this.#clock === undefined ? 0 : this.#clock.ticks();
  }

  random(): number {
    return this.#clock!.random();
  }

  /** 1, 2, 3, …: the order in which messages came to this store. */
  nextSequence(): number {
    this.#last += 1;
    return this.#last;
  }

  /** Gives it its turn when this one of the event loop ends; once, however often it is called. */
  wake(taker: TurnTaker): void {
    if (taker.woken) return;
    taker.woken = true;
    this.#takers.push(taker);
    this.#arm();
  }

  /** At a time of the wall clock. */
  at(time: number, run: () => void): DueCall {
    return this.#wall.add(time, run);
  }

  after(ms: number, run: () => void): DueCall {
    return this.#ticks.add(this.ticks() + ms, run);
  }

  #use(clock: Clock | undefined): void {
    this.#clock = clock;
    this.#wall.use(clock);
    this.#ticks.use(clock);
    if (this.#takers.length > 0) this.#arm();
  }

  #arm(): void {
    if (this.#soon || this.#clock === undefined) return;
    this.#soon = true;
    this.#clock.soon(this.#run);
  }

  #turn(): void {
    this.#soon = false;
    const takers = this.#takers;
    this.#takers = this.#spare;
    for (const taker of takers) {
      taker.woken = false;
      taker.turn();
    }
    takers.length = 0;
    this.#spare = takers;
    this.#afterTurn();
  }
}
