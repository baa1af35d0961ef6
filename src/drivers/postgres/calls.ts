import { Fifo } from "../../internal/fifo.ts";
import { NotSent } from "./link.ts";

interface Call<Answer> {
  readonly run: () => Promise<Answer>;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** One call after the other. What has not begun when the line ends is certainly not sent. */
export class Calls<Answer> {
  readonly #waiting = new Fifo<Call<Answer>>();
  readonly #ticks: () => number;
  #askedAt: number | undefined;
  #ended: { readonly cause: unknown } | undefined;

  constructor(ticks: () => number) {
    this.#ticks = ticks;
  }

  get askedAt(): number | undefined {
    return this.#askedAt;
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  add(run: () => Promise<Answer>): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(new NotSent(this.#ended.cause));
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.push({ run, resolve, reject });
    if (this.#askedAt === undefined) this.#next();
    return promise;
  }

  end(cause: unknown): void {
    this.#ended ??= { cause };
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift())
      call.reject(new NotSent(this.#ended.cause));
  }

  #next(): void {
    const call = this.#waiting.shift();
    this.#askedAt = call === undefined ? undefined : this.#ticks();
    call?.run().then(
      (answer) => {
        this.#next();
        call.resolve(answer);
      },
      (error: unknown) => {
        this.#next();
        call.reject(error);
      },
    );
  }
}
