import { nats } from "../../src/drivers/nats/index.ts";
import { connectTo, joinGroup, textOf } from "./driver-harness.ts";

const [url = "", prefix = "", group = "", leaseMs = "1000"] = process.argv.slice(2);

/** A member in a process of its own: says what it got, and acknowledges it from when it is told to. */
const { connection } = await connectTo(nats({ servers: url, leaseMs: Number(leaseMs) }), { prefix, member: "child" });
const { sink, consumption } = await joinGroup(connection, group);
let told = 0;
let revoked = 0;
let acknowledges = false;
setInterval(() => {
  for (const message of sink.messages.slice(told))
    process.send!({ got: textOf(message), deliveries: message.deliveries });
  if (acknowledges) consumption.ack(sink.messages.slice(told));
  told = sink.messages.length;
  if (sink.revocations.length > revoked) process.send!({ revoked: sink.revocations.length });
  revoked = sink.revocations.length;
}, 5);
process.on("message", (order) => {
  if (order === "ack") {
    acknowledges = true;
    consumption.ack(sink.messages);
    void consumption.flush().then(() => process.send!({ acknowledged: true }));
  }
});
process.on("disconnect", () => process.exit());
process.send!({ joined: true });
