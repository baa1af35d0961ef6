import type { Driver, DriverConnection, InMessage } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { changed } from "../../src/testing/changed.ts";
import type { Need } from "../../src/testing/suite.ts";
import { declaring } from "./lacking-driver.ts";

type Lie = (connection: DriverConnection) => Partial<DriverConnection>;

/** Of what memory lacks itself: it does all the same. The rest it can, so that declaring it away is the lie. */
const lies: { readonly [N in Need]?: Lie } = {
  durable: ({ capabilities }) => ({ capabilities: { ...capabilities, durable: true } }),
  "publish retry": ({ capabilities }) => ({ capabilities: { ...capabilities, publishRetry: "core" } }),
  transactions: ({ capabilities }) => ({ capabilities: { ...capabilities, transactions: true } }),
  "publish order": (connection) => ({
    send: (batch) => {
      const failed = new Map<string | undefined, unknown>();
      for (const message of batch) {
        const { key } = message;
        if (key !== undefined && failed.has(key)) message.failed("no", failed.get(key));
        else
          connection.send([
            changed(message, {
              failed: (stored, error) => {
                failed.set(key, error);
                message.failed(stored, error);
              },
            }),
          ]);
      }
    },
  }),
  priorities: (connection) => ({
    consume: (source, sink, window) =>
      connection.consume(
        source,
        changed(sink, { deliver: (messages) => sink.deliver(messages.toSorted((a, b) => rankOf(b) - rankOf(a))) }),
        window,
      ),
  }),
};

/** Declares that it lacks an ability, and has it: a counter-test must notice. */
export function lying(need: Need): Driver {
  const capabilities = declaring([need]);
  const inner = memory();
  return changed(inner, {
    capabilities,
    connect: async (context) => {
      const connection = changed(await inner.connect(context), { capabilities });
      return changed(connection, lies[need]?.(connection) ?? {});
    },
  });
}

const ranks = ["low", "normal", "high", "critical"];
const rankOf = ({ body }: InMessage): number =>
  ranks.indexOf((JSON.parse(new TextDecoder().decode(body)) as { readonly priority?: string }).priority ?? "normal");
