import type { Session } from "./session.ts";
import { nowMs } from "./functions/append.ts";
import { isLost } from "./classify.ts";
import { escapeText, unescapeText } from "./text-escape.ts";
import { bytesOf, numberOf } from "./values.ts";

interface Change {
  readonly key: string;
  readonly revision: string;
  readonly value: Uint8Array | undefined;
}

/** Current values first, then changes; what runs out is told by the clock. */
export async function* watchState(
  session: Session,
  bucket: string,
  prefix: string,
  signal: AbortSignal,
): AsyncIterable<Change> {
  const bell = new Bell(session, signal);
  const known = new Map<string, number>();
  let after = 0;
  /** Of a former database, until this one has said all that it has. */
  let former = new Set<string>();
  try {
    while (!signal.aborted) {
      bell.listen();
      if (bell.replaced()) [after, former] = [0, new Set(known.keys())];
      try {
        for (const [key, revision, value, left] of await session.desk.query(
          `SELECT key, revision, value, expires - ${nowMs} FROM {state}
            WHERE bucket = $1 AND revision > $2 AND key >= $3 AND starts_with(key, $3) ORDER BY revision`,
          [escapeText(bucket), String(after), escapeText(prefix)],
        )) {
          after = numberOf(revision);
          const name = unescapeText(key ?? "");
          former.delete(name);
          const until = left === null || left === undefined ? Number.POSITIVE_INFINITY : Number(left);
          if (value !== null && until > 0) known.set(name, session.clock.now() + until);
          else if (!known.delete(name)) continue;
          yield {
            key: name,
            revision: String(after),
            value: value === null || until <= 0 ? undefined : bytesOf(value),
          };
        }
        for (const key of former) if (known.delete(key)) yield { key, revision: String(after), value: undefined };
        former.clear();
      } catch (error) {
        if (session.closed || !isLost(error)) throw error; // else again, once connected
      }
      const now = session.clock.now();
      for (const [key, expires] of known) {
        if (expires > now) continue;
        known.delete(key);
        yield { key, revision: String(after), value: undefined };
      }
      await bell.rung(Math.min(session.pollMs, ...[...known.values()].map((expires) => Math.max(1, expires - now))));
    }
  } finally {
    bell.close();
  }
}

/** Wakes one watching loop. */
class Bell {
  readonly #session: Session;
  readonly #signal: AbortSignal;
  readonly #ears: readonly Disposable[];
  #wake: (() => void) | undefined;
  #rung = false;
  #replaced = false;

  constructor(session: Session, signal: AbortSignal) {
    this.#session = session;
    this.#signal = signal;
    const replaced = (): void => {
      this.#replaced = true;
      this.#ring();
    };
    this.#ears = [session.onNews("s", this.#ring), session.listen({ up: this.#ring, replaced })];
    signal.addEventListener("abort", this.#ring, { once: true });
  }

  /** What rings from now on is not known yet. */
  listen(): void {
    this.#rung = false;
  }

  /** Whether it is another database since this was asked last. */
  replaced(): boolean {
    const was = this.#replaced;
    this.#replaced = false;
    return was;
  }

  async rung(ms: number): Promise<void> {
    if (this.#rung || this.#signal.aborted) return;
    const timer = this.#session.clock.after(ms, this.#ring);
    await new Promise<void>((resolve) => (this.#wake = resolve));
    timer[Symbol.dispose]();
    this.#wake = undefined;
  }

  close(): void {
    for (const ear of this.#ears) ear[Symbol.dispose]();
    this.#signal.removeEventListener("abort", this.#ring);
  }

  readonly #ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };
}
