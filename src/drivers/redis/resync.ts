import { replyWord } from "./errors.ts";
import { leave, type LostAnswers, lostAnswers, lowestOf } from "./leaving.ts";
import type { MemberHost } from "./member.ts";
import type { RedisMessage } from "./message.ts";
import type { Seat } from "./seat.ts";

export interface ResyncListener {
  /** From here on nothing is fetched. */
  asked(): void;
  /** Partition → the lowest that is held for us and never came. */
  missing(refs: ReadonlyMap<string, string>): void;
  /** The seat is not alive any more, or its group is gone. */
  lost(error: unknown, seat: Seat): void;
  /** Of a loss that the server told us of, which we never heard. */
  unheard(lost: string): void;
  done(): void;
}

const againMs = 250;

/** After a reconnect: what the server holds for us, and what of it never came. */
export class Resync {
  readonly #host: MemberHost;
  readonly #listener: ResyncListener;
  #running = false;
  /** What was settled here since we asked. */
  #settled: Set<string> | undefined = undefined;

  constructor(host: MemberHost, listener: ResyncListener) {
    this.#host = host;
    this.#listener = listener;
  }

  /** What the server said is lost, by its number, "?" or "". */
  heard(lost: string): void {
    const { seat } = this.#host;
    const [count, unknown] = seat.heard;
    seat.heard = lost === "?" ? [count, unknown + 1] : [count + Number(lost), unknown];
  }

  settled({ ref, id }: RedisMessage): void {
    this.#settled?.add(`${ref} ${id}`);
  }

  async run(): Promise<void> {
    const host = this.#host;
    if (this.#running || host.closed) return;
    this.#running = true;
    this.#listener.asked();
    const { seat, session } = host;
    const isOurs = (): boolean => seat === host.seat && !host.closed;
    let compared = false;
    while (!compared && isOurs() && session.isUp) {
      if (await this.#compare(seat, isOurs)) compared = true;
      else await new Promise<void>((resolve) => void session.clock.after(againMs, resolve));
    }
    this.#running = false;
    // without an answer nothing is read: that could be what comes after those that never came
    if ((compared || seat !== host.seat) && !host.closed) this.#listener.done();
  }

  /** False: it is not known, ask again. */
  async #compare(seat: Seat, isOurs: () => boolean): Promise<boolean> {
    const { hand } = this.#host;
    this.#settled = new Set();
    try {
      await this.#host.flush();
      if (!isOurs()) return true;
      const { missing, told } = await lostAnswers(seat, hand, this.#settled);
      if (!isOurs()) return true;
      this.#compareLosses(seat, told);
      // first: when the answer to the hand-back is lost, nothing of it is held for us any more, and yet it never came
      this.#listener.missing(lowestOf(missing));
      if (missing.length > 0) await leave(seat, false, [], missing);
      return true;
    } catch (error) {
      const word = replyWord(error);
      if (word !== "STALE" && word !== "GONE") return false;
      this.#listener.lost(error, seat);
      return true;
    } finally {
      this.#settled = undefined;
    }
  }

  #compareLosses(seat: Seat, told: LostAnswers["told"]): void {
    const count = told[0] - seat.heard[0];
    if (told[1] > seat.heard[1]) this.#listener.unheard("?");
    if (count > 0) this.#listener.unheard(String(count));
    seat.heard = told;
  }
}
