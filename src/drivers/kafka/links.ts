import type { Clock } from "../../clock.ts";
import { NoAnswer } from "./errors.ts";
import type { Host, Link } from "./link.ts";

const shortestMs = 50;
const longestMs = 1_000;

interface Place {
  link: Promise<Link>;
  /** Since the last one that was up. */
  failures: number;
  /** By `Clock.ticks`. */
  notBefore: number;
}

/** The connections of one duty, one for each broker, made when first wanted and again after a loss, not too often. */
export class Links {
  readonly #open: (host: Host, signal: AbortSignal) => Promise<Link>;
  readonly #clock: Clock;
  readonly #places = new Map<string, Place>();
  readonly #ended = new AbortController();

  constructor(open: (host: Host, signal: AbortSignal) => Promise<Link>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /** Rejects with why it can't be had, and with `NoAnswer` while it is too early to try again. */
  async to(host: Host): Promise<Link> {
    const { signal } = this.#ended;
    if (signal.aborted) throw new NoAnswer("the connection is closed", false);
    const name = `${host.host}:${host.port}`;
    const place = this.#places.get(name);
    const link = await place?.link.catch(() => undefined);
    if (link?.isUp === true) return link;
    if (this.#places.get(name) !== place) return this.to(host); // somebody was faster
    const now = this.#clock.ticks();
    if (place !== undefined && now < place.notBefore) throw new NoAnswer(`${name} is away`, false);
    const failures = link === undefined ? (place?.failures ?? 0) : 0;
    const wait = Math.min(longestMs, shortestMs * 2 ** failures) * (0.5 + this.#clock.random());
    const opened = this.#open(host, signal);
    opened.catch(() => undefined); // whoever asked is told
    this.#places.set(name, { link: opened, failures: failures + 1, notBefore: now + wait });
    return await opened;
  }

  /** At once; what is under way rejects. */
  destroy(): void {
    this.#ended.abort(new NoAnswer("the connection is closed", false));
    for (const { link } of this.#places.values()) {
      link.then(
        (each) => each.destroy(),
        () => undefined,
      );
    }
    this.#places.clear();
  }
}
