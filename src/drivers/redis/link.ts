export type Arg = string | Buffer;
export type Reply = Buffer | number | null | readonly Reply[];

/** One logical connection, of whichever kind. It has one life: lost, it is made again as another one. */
export interface Link {
  /** Rejects at once when the connection is lost; errors as the client made them. */
  command(args: readonly Arg[]): Promise<Reply>;
  /** A shard channel. */
  subscribe(channel: string, listener: (message: Buffer) => void): Promise<void>;
  /** Graceful; when the signal aborts, destroyed. */
  close(signal: AbortSignal): Promise<void>;
  destroy(): void;
}
