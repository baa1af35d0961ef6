import { describe, expect, it } from "vitest";
import type { Driver, Headers, OutMessage } from "../../src/driver.ts";
import { memory } from "../../src/drivers/memory/index.ts";
import { connect, defineRequest, typed } from "../../src/index.ts";
import { header } from "../../src/wire-names.ts";
import { freshName, natsWorld, redisWorld } from "../support/broker-worlds.ts";
import { outgoing } from "../support/driver-harness.ts";
import { gate } from "../support/events.ts";
import { tapped } from "../support/tapped-driver.ts";

const worlds = [
  { name: "memory", broker: "none", driver: (): Driver => memory() },
  await natsWorld(),
  await redisWorld(),
];
const twice = defineRequest("twice", { request: typed<number>(), response: typed<string>() });

/** A responder that says beside each answer, to the same inbox, what nobody asked for: before it, and a second one behind it. */
function talkative(inner: Driver): { readonly driver: Driver; readonly said: string[] } {
  const said: string[] = [];
  const around = (answer: OutMessage): readonly OutMessage[] => {
    const say = (text: string, headers: Headers): OutMessage => {
      const stored = (): void => void said.push(text);
      return outgoing(answer.to, text, { headers, durable: false, stored }).message;
    };
    const text = Buffer.from(answer.body).toString();
    const others = answer.headers.filter(([name]) => name !== header.answerTo);
    return [
      say("no json", []),
      say("", [[header.answerTo, ""]]),
      say("\0", [[header.answerTo, "__proto__"]]),
      say(text.replace("right", "stray"), [...others, [header.answerTo, "of another request"]]),
      say("", [...others, [header.answerTo, "nobody"], [header.errorCode, "BUS_REMOTE"]]),
      answer,
      say(text.replace("right", "second"), answer.headers),
      say("no json", answer.headers),
      say("", [...answer.headers, [header.errorCode, "BUS_REMOTE"]]),
    ];
  };
  const driver = tapped(
    {
      connection: (connection) => ({
        send: (batch) => connection.send(batch.flatMap((each) => (each.to.kind === "inbox" ? around(each) : [each]))),
      }),
    },
    inner,
  );
  return { driver, said };
}

describe.each(worlds)("replies at $name", (world) => {
  it.skipIf(world.broker === undefined)(
    "that are garbage, of no request that waits, or a second one, are ignored",
    async () => {
      const prefix = freshName("r");
      const inner = world.driver();
      const { driver, said } = talkative(inner);
      await using responder = await connect({ driver, prefix });
      await using requester = await connect({ driver: inner, prefix });
      const { opened, open } = gate();
      using _ = { [Symbol.dispose]: open }; // or closing would wait for it
      await responder.respond(twice, async (n) => {
        if (n === 1) await opened;
        return `right ${n * 2}`;
      });
      const [slow, early] = [requester.request(twice, 1), requester.request(twice, 2)];
      slow.catch(() => undefined);
      expect(await early).toBe("right 4");
      // all that belongs to the first has come, since these came behind it
      for (const n of [3, 4]) expect(await requester.request(twice, n)).toBe(`right ${n * 2}`);
      open();
      expect(await slow).toBe("right 2");
      expect(await requester.request(twice, 5)).toBe("right 10");
      expect(said.filter((text) => text.includes("second")).length).toBeGreaterThanOrEqual(4);
      expect((await requester.health()).status).toBe("up");
    },
  );
});
