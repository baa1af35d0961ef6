import type { Window } from "../../driver.ts";

const remembered = 0.1;

/** What is delivered and unsettled against the window, and how large messages are. Pure. */
export class Credit {
  #window: Window;
  #messages = 0;
  #bytes = 0;
  #average = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  set window(window: Window) {
    this.#window = window;
  }

  get outstanding(): number {
    return this.#messages;
  }

  /** How many more may be delivered. */
  get messages(): number {
    return this.#bytes >= this.#window.bytes ? 0 : Math.max(0, this.#window.messages - this.#messages);
  }

  get bytes(): number {
    return Math.max(0, this.#window.bytes - this.#bytes);
  }

  /** How many to ask of one partition at a time, so that the bytes are not passed by much: at least one. */
  get step(): number {
    if (this.#average === 0) return Math.min(this.messages, 16);
    return Math.max(1, Math.min(this.messages, Math.floor(this.bytes / this.#average)));
  }

  take(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
    this.#average = this.#average === 0 ? bytes : this.#average + (bytes - this.#average) * remembered;
  }

  give(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
  }
}
