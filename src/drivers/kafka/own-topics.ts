import { DriverError } from "../../internal/driver-error.ts";
import type { NewTopic } from "./client.ts";
import type { Session } from "./session.ts";

/** Of what is copied: more than a stream's topic takes by default, since others' topics may take more, and a copy carries more. */
export const ownMessageBytes = "33554432";

/** Topics of the driver's own: looked for first, since who may not create is refused also where they are there. */
export async function makeOwnTopics(session: Session, topics: readonly NewTopic[]): Promise<void> {
  const { cluster, context } = session;
  const { topology } = cluster;
  const isLed = ({ name, numPartitions }: NewTopic): boolean => topology.leader(name, numPartitions - 1) !== undefined;
  for (const { name } of topics) topology.watch(name);
  if (!topics.every(isLed)) await topology.refresh();
  const missing = topics.filter((each) => !isLed(each));
  if (missing.length === 0) return;
  if (context.manage !== "create")
    throw new DriverError(
      "BUS_NOT_FOUND",
      `kafka: there is no topic "${missing[0]!.name}"; connect once with "manage": "create"`,
    );
  await cluster.createTopics(missing);
}

/** Made once, and again after it failed or what was made is not there any more. */
export class MadeOnce {
  readonly #make: () => Promise<void>;
  #making: Promise<void> | undefined;

  constructor(make: () => Promise<void>) {
    this.#make = make;
  }

  get done(): Promise<void> {
    return (this.#making ??= this.#make().catch((error: unknown) => {
      this.#making = undefined;
      throw error;
    }));
  }

  /** Makes it, and again where what is stored in it finds nothing. */
  async before<Value>(store: () => Promise<Value>): Promise<Value> {
    const made = this.done;
    await made;
    try {
      return await store();
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === "BUS_NOT_FOUND" && this.#making === made)
        this.#making = undefined;
      throw error;
    }
  }
}
