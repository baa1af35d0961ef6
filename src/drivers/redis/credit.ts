import { Credit } from "../../internal/credit.ts";

const remembered = 0.1;
const firstStep = 16;

/** Credit that also knows how large messages are. Pure. */
export class SizedCredit extends Credit {
  #average = 0;

  /** How many to ask of one partition at a time, so that the bytes are not passed by much: at least one. */
  get step(): number {
    if (this.#average === 0) return Math.min(this.messages, firstStep);
    return Math.max(1, Math.min(this.messages, Math.floor(this.bytes / this.#average)));
  }

  override take(bytes: number): void {
    super.take(bytes);
    this.#average = this.#average === 0 ? bytes : this.#average + (bytes - this.#average) * remembered;
  }
}
