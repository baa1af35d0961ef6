import type { Socket } from "node:net";
import type { OneDirection } from "./fault-direction.ts";
import type { Traps } from "./fault-traps.ts";
import { FaultyPipe } from "./faulty-pipe.ts";

export interface ProxiedLine {
  readonly requests: OneDirection;
  readonly replies: OneDirection;
  readonly traps: Traps;
  /** Numbers from 0 to 1 for one direction of one connection. */
  readonly random: (direction: OneDirection) => () => number;
  readonly rewriteReply: (reply: Buffer) => Buffer;
}

/** libuv before 1.52 (Node 22) takes data and a reset that it meets at once for data and an end. */
const apartMs = 5;

/** A client's connection and the one to the target that stands behind it. */
export class ProxiedConnection {
  readonly #client: Socket;
  readonly #target: Socket;
  readonly #pipes: readonly FaultyPipe[];
  /** Resolves when both sockets are closed. */
  readonly closed: Promise<unknown>;

  constructor(client: Socket, target: Socket, { requests, replies, traps, random, rewriteReply }: ProxiedLine) {
    this.#client = client;
    this.#target = target;
    for (const socket of [client, target]) socket.setNoDelay(true).unref();
    this.closed = Promise.all([client, target].map((socket) => new Promise((done) => void socket.once("close", done))));
    const pipe = (from: Socket, to: Socket, direction: OneDirection): FaultyPipe =>
      new FaultyPipe(from, to, direction, random(direction), {
        took: (bytes) => (direction === replies ? rewriteReply(bytes) : bytes),
        look: (piece) => traps.look(this, direction.name, piece),
        reset: () => this.reset(),
        cut: (done) => this.cut(done),
      });
    this.#pipes = [pipe(client, target, requests), pipe(target, client, replies)];
    void this.closed.then(() => this.#mute());
  }

  #mute(): void {
    for (const pipe of this.#pipes) pipe.mute();
  }

  reset(): void {
    this.#mute();
    this.#client.resetAndDestroy();
    this.#target.resetAndDestroy();
  }

  /** The target is not reset, so that it handles all that it was sent. */
  cut(done: () => void): void {
    this.#mute();
    this.#target.end();
    setTimeout(() => {
      this.#client.resetAndDestroy();
      done();
    }, apartMs);
  }

  halfOpen(): void {
    this.#mute();
    this.#target.destroy();
  }

  destroy(): void {
    this.#client.destroy();
    this.#target.destroy();
  }
}
