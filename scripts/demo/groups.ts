import { setTimeout as wait } from "node:timers/promises";
import { type Bus, type EventOf, Reject, type RetryPolicy } from "../../src/index.ts";
import { type JournalWriter, openJournal } from "./journal.ts";
import { seededRandom } from "./random.ts";
import { WebhookReceived } from "./webhook.ts";

type Webhook = EventOf<typeof WebhookReceived>;

/** The kind that the indexer can't take before it is fixed. */
export const rejectedKind = "milestone";
export const groupNames = ["audit", "notifier", "indexer"] as const;

export interface GroupOptions {
  readonly directory: string;
  readonly worker: number;
  readonly seed: number;
  /** Whether the indexer has been fixed. */
  readonly fixed: () => boolean;
}

const retry: RetryPolicy = { maxAttempts: 6, backoff: { baseMs: 20, factor: 2, maxMs: 200 } };

/** How often the notifier's mail server fails with this event: 0 mostly, once for 5 % of them, twice for 1 %. */
function failures(number: number, seed: number): number {
  const chance = seededRandom(seed * 1_000_003 + number)();
  return chance < 0.01 ? 2 : chance < 0.06 ? 1 : 0;
}

/** The application: three groups that each handle every event, and note what they did. */
export async function startGroups(bus: Bus, { directory, worker, seed, fixed }: GroupOptions): Promise<void> {
  const noting = (group: string): ((outcome: Parameters<JournalWriter["write"]>[0], event: Webhook) => void) => {
    const journal = openJournal(directory, group, worker);
    return (outcome, { id, data }) => journal.write(outcome, id, data.payload.repository.full_name, data.number);
  };
  const [audit, notifier, indexer] = groupNames;

  const audited = noting(audit);
  await bus.subscribe(WebhookReceived, (event) => audited("handled", event), { group: audit });

  const notified = noting(notifier);
  await bus.subscribe(
    WebhookReceived,
    async (event, { attempt }) => {
      await wait(1); // the mail server
      if (attempt <= failures(event.data.number, seed)) {
        notified("failed", event);
        throw new Error("the mail server is busy");
      }
      notified("handled", event);
    },
    { group: notifier, concurrency: 32, retry },
  );

  const indexed = noting(indexer);
  await bus.subscribe(
    WebhookReceived,
    (event) => {
      if (event.data.event === rejectedKind && !fixed()) {
        indexed("rejected", event);
        throw new Reject(`no index for ${rejectedKind}`);
      }
      indexed("handled", event);
    },
    { group: indexer },
  );
}
