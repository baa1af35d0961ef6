/** A process of the soak on sqlite: publishes, and is a member of both groups, until it is killed. */
import { runChild } from "../../src/testing/index.ts";
import { connectTo, ordered, type SoakInput, unordered } from "./events.ts";
import { Membership } from "./member.ts";

await runChild<SoakInput>(async ({ input, note, signal }) => {
  const bus = await connectTo(input, "victim");
  const member = new Membership(note);
  await member.join(bus, ordered);
  await member.join(bus, unordered);
  await member.publish(bus, input.chapter ?? "v", input.rate, signal, () => false);
  await bus.close();
});
