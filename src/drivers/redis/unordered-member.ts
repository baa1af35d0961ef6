import type { Window } from "../../driver.ts";
import type { Fetched, FetchRequest } from "./fetcher.ts";
import type { MemberHost, Share } from "./member.ts";
import type { RedisMessage } from "./message.ts";
import { fetchScript } from "./scripts/fetch.ts";

/** A member of a group that keeps no order: it reads all partitions, as all others do, and takes what was given back. */
export class WholeShare implements Share {
  readonly #host: MemberHost;
  readonly #paused = new Set<string>();
  #wanted = true;
  /** A wake-up that nobody else got: without room it is passed on. */
  #woken = false;
  /** … but by one who leaves out what it is for, to all the others. */
  #passedOn = false;

  constructor(host: MemberHost) {
    this.#host = host;
  }

  request(): Pick<FetchRequest, "messages" | "refs" | "woken"> | undefined {
    const { messages } = this.#host.credit;
    if (messages === 0 ? !this.#woken : !this.#wanted) return undefined;
    const woken = this.#woken && !this.#passedOn;
    this.#woken = false;
    this.#wanted = messages === 0;
    return { messages, refs: [...this.#paused], woken };
  }

  took(_request: FetchRequest, { more, messages }: Fetched): readonly RedisMessage[] {
    if (more) this.#wanted = true;
    return messages;
  }

  refused(): void {
    // the next poll asks again
  }

  taken(): void {
    // nothing waits for it
  }

  wake(ref: string): void {
    this.#wanted = true;
    this.#passedOn = ref !== "" && (this.#passedOn || !this.#woken);
    this.#woken = true;
  }

  poll(): void {
    this.#wanted = true;
  }

  now(): void {
    // the server knows what there is to read
  }

  window(partition: string, window: Window): void {
    const ref = this.#host.session.keys.refOf(partition, this.#host.group);
    if (window.messages === 0) this.#paused.add(ref);
    else if (this.#paused.delete(ref)) this.#wanted = true;
  }

  settled(): void {
    // nothing waits for it
  }

  recorded(): void {
    // the note is all there is of it
  }

  refuses(): boolean {
    return false;
  }

  missing(): void {
    this.#wanted = true; // it is due
  }

  forget(): readonly string[] {
    this.#wanted = true;
    return [];
  }

  /** A wake-up that comes from now on, or came just now, is for others. */
  stopped(): void {
    const { seat, session } = this.#host;
    seat.run(fetchScript, [session.context.member.id, "0", "0", "1", ""]).catch(() => undefined); // the polls find it
  }
}
