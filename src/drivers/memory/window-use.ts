import type { Window } from "../../driver.ts";

/** How much of a window is taken by what is delivered and unsettled. Bytes may be passed by one message. */
export class WindowUse {
  messages = 0;
  bytes = 0;
  #maxMessages: number;
  #maxBytes: number;

  constructor(window: Window) {
    this.#maxMessages = window.messages;
    this.#maxBytes = window.bytes;
  }

  resize(window: Window): void {
    this.#maxMessages = window.messages;
    this.#maxBytes = window.bytes;
  }

  get hasRoom(): boolean {
    return this.messages < this.#maxMessages && this.bytes < this.#maxBytes;
  }

  /** Nothing would be delivered however little is under way. */
  get paused(): boolean {
    return this.#maxMessages <= 0 || this.#maxBytes <= 0;
  }

  take(bytes: number): void {
    this.messages += 1;
    this.bytes += bytes;
  }

  free(bytes: number): void {
    this.messages -= 1;
    this.bytes -= bytes;
  }
}
