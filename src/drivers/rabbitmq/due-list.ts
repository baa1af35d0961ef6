/** What waits in the server's queues, where it can't be counted. */
export interface Scheduled {
  readonly due: number;
  readonly stream?: string;
  readonly topic?: string;
  readonly group?: string;
}

const smallest = 64;

/** What is due later; what was due is let go from time to time, also when nobody asks. */
export class DueList {
  #list: Scheduled[] = [];
  #most: number = smallest;

  get size(): number {
    return this.#list.length;
  }

  add(scheduled: Scheduled, now: number): void {
    if (scheduled.due <= now) return;
    this.#list.push(scheduled);
    if (this.#list.length < this.#most) return;
    this.after(now);
    this.#most = Math.max(this.#list.length * 2, smallest);
  }

  after(now: number): readonly Scheduled[] {
    this.#list = this.#list.filter(({ due }) => due > now);
    return this.#list;
  }
}
