import { kafka } from "../../src/drivers/kafka/index.ts";
import { connect, defineEvent, typed } from "../../src/index.ts";

/** A member in a process of its own: says which keys it handled. */
const [brokers = "", prefix = "", group = "", sessionTimeoutMs = "6000"] = process.argv.slice(2);
const keyed = defineEvent("keyed", { schema: typed<{ readonly key: string }>(), key: ({ key }) => key });
const bus = await connect({ driver: kafka({ brokers, sessionTimeoutMs: Number(sessionTimeoutMs) }), prefix });
process.on("disconnect", () => process.exit());
await bus.subscribe(keyed, ({ data }) => void process.send!(data.key), { group });
