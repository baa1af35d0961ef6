/** The driver contract's `Window`. */
interface Window {
  readonly messages: number;
  readonly bytes: number;
}

/** What is delivered and unsettled, against the window; bytes may be passed by one message. Pure. */
export class Credit {
  #window: Window;
  #messages = 0;
  #bytes = 0;

  constructor(window: Window) {
    this.#window = window;
  }

  get window(): Window {
    return this.#window;
  }

  set window(window: Window) {
    this.#window = window;
  }

  get outstanding(): number {
    return this.#messages;
  }

  get hasRoom(): boolean {
    return this.#messages < this.#window.messages && this.#bytes < this.#window.bytes;
  }

  /** Nothing would be delivered however little is under way. */
  get paused(): boolean {
    return this.#window.messages <= 0 || this.#window.bytes <= 0;
  }

  /** How many more may be delivered. */
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

  /** These are over; each gives once, however often it is acknowledged. */
  acknowledge(messages: readonly { over: boolean; readonly size: number }[]): void {
    for (const message of messages) {
      if (message.over) continue;
      message.over = true;
      this.give(message.size);
    }
  }

  clear(): void {
    this.#messages = 0;
    this.#bytes = 0;
  }
}
