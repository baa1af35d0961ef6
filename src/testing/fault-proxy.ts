import { connect, createServer, type Server, type Socket } from "node:net";
import { callable, checkOptions, integer, invalidOption } from "../option-check.ts";
import { type FaultDirection, OneDirection } from "./fault-direction.ts";
import { atReply, type SwallowOptions, Traps } from "./fault-traps.ts";
import { ProxiedConnection } from "./proxied-connection.ts";
import { randomFor, seed as seedOfRun } from "./settings.ts";

export interface FaultProxyOptions {
  /** What `jitterMs` is drawn from, for each connection and direction by itself. @default `OMNIBUS_SEED`, else any */
  readonly seed?: number | undefined;
  /** What clients get instead of what the target answered, as long as that: where answers name the target's address, for clients to go to. @default as it is */
  readonly rewriteReply?: ((reply: Uint8Array, proxyPort: number) => Uint8Array) | undefined;
}

const host = "127.0.0.1";
const patternKind = (value: unknown): string | undefined =>
  (typeof value === "string" && value !== "") || value instanceof RegExp ? undefined : "must be text or a RegExp";
const swallowShape = { request: patternKind, reply: patternKind, nth: integer(1) };

/**
 * A TCP proxy in front of a broker, whose line can be made slow, silent and broken while a test runs.
 *
 * It knows nothing of protocols, so TLS passes untouched. Faults are set for each direction by itself, `requests` to the target
 * and `replies` from it, and hold for open connections and those to come; what is done at once (`reset`, `halfOpen`) holds for
 * those that are open. Nothing of it keeps the process alive.
 *
 * ```ts
 * await using proxy = await FaultProxy.start(broker.url);
 * await using bus = await connect({ url: proxy.url(broker.url) });
 * proxy.replies.set({ latencyMs: 100, jitterMs: 50 });
 * const swallowed = proxy.swallowReply({ request: "XADD" }); // stored, and the bus is not told
 * await bus.publish(Placed, order);
 * assert(await swallowed);
 * await proxy.heal();
 * ```
 */
export class FaultProxy implements AsyncDisposable {
  /** From the clients to the target. */
  readonly requests: FaultDirection;
  /** From the target to the clients. */
  readonly replies: FaultDirection;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #accept: (client: Socket) => void;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #traps = new Traps();
  #server: Server | undefined;
  #begun: Promise<void> | undefined;
  #port = 0;
  #accepted = 0;
  #closed = false;

  private constructor(target: string, seed: number, rewrite: FaultProxyOptions["rewriteReply"]) {
    const requests = new OneDirection("requests", this.#traps);
    const replies = new OneDirection("replies", this.#traps);
    this.requests = requests;
    this.replies = replies;
    this.#target = addressOf(target);
    this.#accept = (client) => {
      const number = (this.#accepted += 1);
      const random = ({ name }: OneDirection): (() => number) => randomFor(`${name} of connection ${number}`, seed);
      const server = connect({ ...this.#target, allowHalfOpen: true });
      const rewriteReply = (reply: Buffer): Buffer => {
        if (rewrite === undefined) return reply;
        const { buffer, byteOffset, byteLength } = rewrite(reply, this.#port);
        return Buffer.from(buffer, byteOffset, byteLength);
      };
      const line = { requests, replies, traps: this.#traps, random, rewriteReply };
      const connection = new ProxiedConnection(client, server, line);
      this.#connections.add(connection);
      void connection.closed.then(() => this.#connections.delete(connection));
    };
  }

  /** Listens on a free port of 127.0.0.1. The target is `host:port` or a url with a port; it need not be there yet. */
  static async start(target: string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
    checkOptions("FaultProxy", options, { seed: integer(0), rewriteReply: callable });
    const proxy = new FaultProxy(target, options.seed ?? seedOfRun, options.rewriteReply);
    await proxy.up();
    return proxy;
  }

  /** On 127.0.0.1; stays the same while the line is down. */
  get port(): number {
    return this.#port;
  }

  /** Connections that it took, in all. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Connections of which a side is open. */
  get open(): number {
    return this.#connections.size;
  }

  /** The url with this proxy as its host and port, all else as it is. */
  url(brokerUrl: string): string {
    const url = new URL(brokerUrl);
    url.hostname = host;
    url.port = String(this.#port);
    return url.href;
  }

  /** Sends RST to both sides of each open connection. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
  }

  /** Closes the target's side of each open connection; the client's side stays open and silent, without any packet. */
  halfOpen(): void {
    for (const connection of this.#connections) connection.halfOpen();
  }

  /**
   * Makes an outcome unknown, once: the request reaches the target and is carried out, its answer never arrives, the client gets
   * RST instead. Resolves with true when that has happened, with false when the proxy was healed or closed before.
   */
  swallowReply(options: SwallowOptions = {}): Promise<boolean> {
    checkOptions("swallowReply", options, swallowShape);
    return this.#traps.arm(atReply(options));
  }

  /** Refuses new connections, as if nobody listened; those that are open stay. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  /** Refuses new connections and resets the open ones. */
  down(): void {
    this.refuse();
    this.reset();
  }

  /** Takes connections again, on the same port. Rejects when another process has taken that. */
  async up(): Promise<void> {
    if (this.#closed) throw new Error("the proxy is closed");
    if (this.#server === undefined) this.#begun = this.#listen();
    await this.#begun;
  }

  async #listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, this.#accept).unref();
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.once("listening", resolve);
        server.once("close", resolve); // refused again before it began
        server.listen(this.#port, host);
      });
    } catch (error) {
      if (this.#server === server) this.#server = undefined;
      throw error;
    }
    const address = server.address();
    if (address !== null && typeof address === "object") this.#port = address.port;
  }

  /** Takes everything off: faults of both directions, what waits for its moment, and `down`. */
  async heal(): Promise<void> {
    this.#traps.clear();
    this.requests.clear();
    this.replies.clear();
    await this.up();
  }

  /** Ends every connection. Resolves when all sockets are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.refuse();
    this.#traps.clear();
    const connections = [...this.#connections];
    for (const connection of connections) connection.destroy();
    await Promise.all(connections.map(({ closed }) => closed));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Names no more of a url than its host, for it may hold a password. */
function addressOf(target: string): { readonly host: string; readonly port: number } {
  const url = URL.parse(target.includes("://") ? target : `tcp://${target}`);
  if (url === null || url.port === "") {
    throw invalidOption(
      `FaultProxy: the target${url === null ? "" : ` (${url.hostname})`} must be host:port or a url with a port`,
    );
  }
  return { host: url.hostname.replaceAll(/^\[|\]$/g, ""), port: Number(url.port) };
}
