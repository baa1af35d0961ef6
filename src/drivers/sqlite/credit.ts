import type { Window } from "../../driver.ts";

/** What is delivered and unsettled, against the window. Pure. */
export class Credit {
  #window: Window;
  #messages = 0;
  #bytes = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  set window(window: Window) {
    this.#window = window;
  }

  get outstanding(): number {
    return this.#messages;
  }

  /** How many more may be delivered; bytes may be passed by one message. */
  get messages(): number {
    return this.#bytes >= this.#window.bytes ? 0 : Math.max(0, this.#window.messages - this.#messages);
  }

  get bytes(): number {
    return Math.max(0, this.#window.bytes - this.#bytes);
  }

  take(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
  }

  clear(): void {
    this.#messages = 0;
    this.#bytes = 0;
  }
}
