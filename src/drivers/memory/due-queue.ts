import type { Clock } from "../../clock.ts";

/** A call that waits for its time; `cancel` is idempotent. */
export class DueCall {
  readonly due: number;
  readonly order: number;
  run: (() => void) | undefined;

  constructor(due: number, order: number, run: () => void) {
    this.due = due;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

const before = (left: DueCall, right: DueCall): boolean =>
  left.due < right.due || (left.due === right.due && left.order < right.order);

/** However far away the next call is, the time is looked at again after this: the wall clock may jump. */
const longestSleepMs = 60_000;

/** Calls back in order of their due times, by one timer. Without a clock it waits, and goes on with the next one it gets. */
export class DueQueue {
  readonly #time: (clock: Clock) => number;
  #heap: DueCall[] = [];
  #sweepAt = 64;
  #order = 0;
  #clock: Clock | undefined;
  #timer: Disposable | undefined;
  #timerDue = Infinity;

  constructor(time: (clock: Clock) => number) {
    this.#time = time;
  }

  use(clock: Clock | undefined): void {
    this.#clock = clock;
    this.#arm();
  }

  add(due: number, run: () => void): DueCall {
    if (this.#heap.length >= this.#sweepAt) this.#sweep();
    const call = new DueCall(due, this.#order++, run);
    this.#heap.push(call);
    this.#up(this.#heap.length - 1);
    if (due < this.#timerDue) this.#arm();
    return call;
  }

  #arm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerDue = Infinity;
    while (this.#heap[0] !== undefined && this.#heap[0].run === undefined) this.#pop();
    const first = this.#heap[0];
    if (this.#clock === undefined || first === undefined) return;
    this.#timerDue = first.due;
    this.#timer = this.#clock.after(Math.min(Math.max(first.due - this.#time(this.#clock), 0), longestSleepMs), () =>
      this.#fire(),
    );
  }

  #fire(): void {
    const clock = this.#clock;
    if (clock === undefined) return;
    const now = this.#time(clock);
    this.#timerDue = -Infinity; // what is added meanwhile is seen below
    while (this.#heap[0] !== undefined && this.#heap[0].due <= now) {
      const call = this.#pop()!;
      const run = call.run;
      call.run = undefined;
      run?.();
    }
    this.#arm();
  }

  /** Without those that were cancelled; a sorted array is a heap. */
  #sweep(): void {
    this.#heap = this.#heap
      .filter((call) => call.run !== undefined)
      .toSorted((left, right) => (before(left, right) ? -1 : 1));
    this.#sweepAt = Math.max(64, this.#heap.length * 2);
  }

  #pop(): DueCall | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) {
      this.#heap[0] = last;
      this.#down();
    }
    return first;
  }

  #up(start: number): void {
    const heap = this.#heap;
    const call = heap[start]!;
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(call, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = call;
  }

  #down(): void {
    const heap = this.#heap;
    const call = heap[0]!;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, call)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = call;
  }
}
