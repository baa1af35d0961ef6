import type { NatsClient, NatsStatus } from "./client.ts";

export interface Follower {
  status(status: NatsStatus): void;
  /** For ever, with the reason if there is one. */
  closed(error: Error | undefined): void;
}

/** The client's own iterator has it: it ends, also while it is waited for. */
interface Statuses extends AsyncIterable<NatsStatus> {
  stop?(): void;
}

/** What a client says of itself, until it is disposed: one of the user's may live for long, and keeps nothing of us then. */
export function followClient(client: NatsClient, follower: Follower): Disposable {
  const box: { follower: Follower | undefined } = { follower };
  const statuses: Statuses = client.status();
  void read(statuses, box);
  void client.closed().then((error) => box.follower?.closed(error ?? undefined));
  return {
    [Symbol.dispose]: () => {
      box.follower = undefined;
      statuses.stop?.();
    },
  };
}

async function read(statuses: Statuses, box: { readonly follower: Follower | undefined }): Promise<void> {
  for await (const status of statuses) {
    if (box.follower === undefined) return;
    box.follower.status(status);
  }
}
